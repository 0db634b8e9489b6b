#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "policy/policy.h"
#include "proof/fold.h"
#include "proof/packet_space.h"

namespace tails::proof {

/// What a policy says, as sets of packets: the Meaning section of docs/semantics.md once more, independent of
/// policy/decide (one packet at a time) and of policy/lower (rules). Needs the session of `space`.
///
/// The sets describe packets as the filter sees them, behind NAT, unless the name says otherwise. Not thread-safe.
class Meaning {
 public:
  /// The [[service]] entries as sets, where they are known otherwise (see service_cut.h).
  struct Services {
    Bdd grants;  ///< As service_grants().
    Bdd places;  ///< IPv6: where some active service grants something to somebody.
  };

  /// Keeps pointers to both. With `services` the policy's own are not looked at.
  Meaning(const policy::Policy& policy, const PacketSpace& space, std::optional<Services> services = std::nullopt);

  // Places.
  [[nodiscard]] Bdd to_loopback_net() const;
  [[nodiscard]] Bdd to_namespaces() const;
  [[nodiscard]] Bdd to_lan() const;
  /// Neither LAN nor a namespace nor 127/8: also multicast, broadcast and link-local.
  [[nodiscard]] Bdd to_internet() const;
  [[nodiscard]] Bdd to_trans_port() const;
  [[nodiscard]] Bdd to_automap() const;
  [[nodiscard]] Bdd by_loopback_out() const;
  [[nodiscard]] Bdd by_loopback_in() const;
  /// Out by a namespace's interface.
  [[nodiscard]] Bdd to_guest_interfaces() const;

  // Who.
  [[nodiscard]] Bdd from_tor() const;
  /// Users with an active [[direct]] entry.
  [[nodiscard]] Bdd from_direct_users() const;
  /// Users that are kept from the LAN.
  [[nodiscard]] Bdd from_lan_denied() const;

  // Grants by user and place, whatever the state and the TCP flags.
  [[nodiscard]] Bdd service_grants() const;  ///< [[service]] allow, minus deny.
  [[nodiscard]] Bdd direct_grants() const;   ///< `out` of direct users and Tor.
  [[nodiscard]] Bdd lan_closed() const;      ///< Closed ports in the LAN, for users without lan_dns.
  [[nodiscard]] Bdd guest_grants() const;    ///< INPUT: services of namespaces.

  // States.
  /// The rest of a flow: TCP past its SYN; of other protocols the answers.
  [[nodiscard]] Bdd rest_of_flow() const;
  /// A grant counts: TCP as SYN and NEW, other protocols NEW or ESTABLISHED.
  [[nodiscard]] Bdd may_be_granted() const;

  /// What passes the filter at `hook`, behind NAT.
  [[nodiscard]] Bdd passes(Hook hook) const;

  /// The final answers, for packets as they come to the hook.
  struct Verdicts {
    Bdd accepted;
    Bdd rejected;
    Bdd logged;
    struct Redirect {
      NatAction action;
      Bdd packets;
    };
    std::vector<Redirect> redirects;  ///< Disjoint, and no action twice.
  };
  [[nodiscard]] Verdicts verdicts(Hook hook) const;

 private:
  [[nodiscard]] bool is_v4() const { return space_->family() == Family::kIpv4; }
  [[nodiscard]] Bdd user(const policy::User& user) const { return space_->user(user.uid); }
  [[nodiscard]] Bdd users(std::span<const policy::User> users) const;
  [[nodiscard]] Bdd to(const IpAddress& address) const;
  [[nodiscard]] Bdd port_grants(std::span<const policy::PortGrant> grants) const;
  [[nodiscard]] Bdd at(const policy::Service& service) const;
  [[nodiscard]] Bdd from_ports(const policy::Service& service) const;
  [[nodiscard]] Bdd find_service_grants() const;
  [[nodiscard]] Bdd service_places() const;
  [[nodiscard]] Bdd output_v4() const;
  [[nodiscard]] Bdd forward_v4() const;
  [[nodiscard]] Bdd output_v6() const;
  [[nodiscard]] Bdd input_v6() const;
  [[nodiscard]] Bdd loopback_pair() const;
  [[nodiscard]] std::vector<Verdicts::Redirect> redirects(Hook hook) const;

  [[nodiscard]] Bdd find_passes(Hook hook) const;

  const policy::Policy* policy_;
  const PacketSpace* space_;
  mutable std::array<std::optional<Bdd>, 3> passes_;  ///< By hook: several claims start from it.
  std::optional<Services> services_;
  mutable std::optional<Bdd> service_grants_;
};

}  // namespace tails::proof
