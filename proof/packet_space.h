#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "net/packet.h"
#include "proof/bdd.h"
#include "proof/interfaces.h"
#include "proof/layout.h"
#include "ruleset/match.h"
#include "ruleset/target.h"

namespace tails::proof {

/// All packets of one family as assignments to variables: sets of packets are `Bdd`s, made here field by field.
/// Needs a session with at least `layout().first_unknown` variables. Not thread-safe.
class PacketSpace {
 public:
  /// Keeps pointers to both. With a `granularity` fields hold classes of values: sets then have no packets that could
  /// be read out of them (packet, assignment, same).
  PacketSpace(Family family, const InterfaceClasses& interfaces, const Granularity* granularity = nullptr);

  /// Something was asked that the classes do not tell apart. Sets made since then mean nothing.
  [[nodiscard]] bool is_too_coarse() const { return is_too_coarse_; }

  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] const Layout& layout() const { return layout_; }
  [[nodiscard]] const InterfaceClasses& interfaces() const { return *interfaces_; }

  // Sets by the bits of a field. `value` has no bits above the field's.
  [[nodiscard]] Bdd equals(const Field& field, uint64_t value) const;
  /// The bits of `mask` have the values of `value`; never, where `value` has others.
  [[nodiscard]] Bdd masked(const Field& field, uint64_t value, uint64_t mask) const;
  /// `first` <= field <= `last`.
  [[nodiscard]] Bdd between(const Field& field, uint64_t first, uint64_t last) const;
  [[nodiscard]] Bdd between(const Field& field, const IpAddress& first, const IpAddress& last) const;
  /// Some bit of `mask` is set.
  [[nodiscard]] Bdd any_of(const Field& field, uint64_t mask) const;
  /// (field & mask) == address; never, where `address` has bits outside `mask`.
  [[nodiscard]] Bdd address(const Field& field, const IpAddress& address, const IpAddress& mask) const;
  [[nodiscard]] Bdd inside(const Field& field, const Prefix& prefix) const;
  [[nodiscard]] Bdd ports(const Field& field, const PortRange& range) const;
  /// Both fields have the same value. Quick for interleaved ones only.
  [[nodiscard]] Bdd same(const Field& a, const Field& b) const;

  // Sets in the words of `Packet`.
  [[nodiscard]] Bdd protocol(uint8_t number) const { return equals(layout_.protocol, number); }
  [[nodiscard]] Bdd icmp() const;
  [[nodiscard]] Bdd states(StateSet states) const;
  [[nodiscard]] Bdd direction(Direction direction) const;
  [[nodiscard]] Bdd user(Uid uid) const;
  [[nodiscard]] Bdd has_user() const { return Bdd::literal(layout_.has_uid.first); }
  [[nodiscard]] Bdd tcp_syn() const;
  /// Neither INVALID nor UNTRACKED.
  [[nodiscard]] Bdd has_flow() const;
  [[nodiscard]] Bdd has_recorded() const { return Bdd::literal(layout_.has_recorded.first); }
  [[nodiscard]] Bdd opens_flow() const;
  /// At the hook where the packet has no such interface, the test is answered for an empty name.
  [[nodiscard]] Bdd in(const ruleset::InterfaceTest& test, Hook hook) const;
  [[nodiscard]] Bdd out(const ruleset::InterfaceTest& test, Hook hook) const;
  /// The name must be a class's only or typical member.
  [[nodiscard]] Bdd out(const InterfaceName& name) const;
  [[nodiscard]] Bdd in(const InterfaceName& name) const;
  [[nodiscard]] Bdd type(const Field& field, AddressType type) const;
  [[nodiscard]] static Bdd implies(const Bdd& when, const Bdd& then);

  /// The assignments that stand for a packet at `hook`: every code means something, no user is 2^32-1, and
  /// only locally made packets have an owner.
  [[nodiscard]] Bdd domain(Hook hook) const;

  // The packets that a kernel can make. One of plausible_flow has some status and some kinds of address that make it
  // one of plausible_rest() as well.
  /// NEW opens a flow, and only a flow has a recorded destination. From or to ::1 nothing comes in but by loopback
  /// (ip6_rcv_core in net/ipv6/ip6_input.c drops it before any rule; 127/8 may come, where route_localnet says so), and
  /// :: is nobody's address to come to.
  [[nodiscard]] Bdd plausible_flow(Hook hook) const;
  /// ESTABLISHED has seen a reply, NEW has not. Well-known addresses are of their kind (127/8 and ::1 LOCAL, 224/4 and
  /// ff00::/8 MULTICAST), and what is LOCAL leaves by loopback (__ip_route_output_key in net/ipv4/route.c).
  [[nodiscard]] Bdd plausible_rest(Hook hook) const;
  /// Those of `set` that are both, or that can be by fields that `set` leaves free.
  [[nodiscard]] Bdd plausible_among(const Bdd& set, Hook hook) const;

  /// The packet of an assignment (Bdd::some_assignment; what does not matter is 0). Fields that its protocol does not
  /// have are zero. Interfaces are their class's member.
  [[nodiscard]] Packet packet(const std::vector<signed char>& assignment, Hook hook) const;
  /// The assignment of a packet, `variables` long; those beyond the layout are false.
  [[nodiscard]] std::vector<bool> assignment(const Packet& packet, size_t variables) const;

  // The packets that are in `set` once they have been changed.

  /// What NAT does to a destination.
  struct Destination {
    std::optional<IpAddress> address;  ///< Empty: stays.
    std::optional<Port> port;          ///< Empty: stays.
    bool becomes_local = false;        ///< The kind of address becomes LOCAL.
  };
  [[nodiscard]] Bdd with_destination(const Bdd& set, const Destination& to) const;
  /// They get the recorded destination and port.
  [[nodiscard]] Bdd with_recorded_destination(const Bdd& set) const;
  [[nodiscard]] Bdd with_mark(const Bdd& set, const ruleset::SetMark& target) const;
  [[nodiscard]] Bdd with_connmark(const Bdd& set, const ruleset::SetConnmark& target) const;

  /// The variables of a field, for Bdd::exists; and of all that a target may rewrite in a packet.
  [[nodiscard]] Bdd all_of(const Field& field) const;
  [[nodiscard]] Bdd rewritable() const;

 private:
  /// The values `first` to `last` of a field that has classes.
  [[nodiscard]] Bdd classes(const Field& field, const Number& first, const Number& last) const;
  /// Just this value, as a conjunction of literals.
  [[nodiscard]] Bdd point(const Field& field, const Number& value) const;
  [[nodiscard]] Bdd codes(const Field& field, uint64_t first, uint64_t last) const;
  [[nodiscard]] Bdd only(const Field& field, const InterfaceName& name) const;
  [[nodiscard]] Bdd interface(const Field& field, const ruleset::InterfaceTest& test, bool exists) const;

  Family family_;
  const InterfaceClasses* interfaces_;
  Layout layout_;
  /// Rules repeat themselves: the same address, user and port again and again.
  mutable std::map<std::tuple<int, uint64_t, uint64_t>, Bdd> masked_;
  mutable bool is_too_coarse_ = false;
};

}  // namespace tails::proof
