#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"
#include "net/packet.h"
#include "net/shared_text.h"

/// What a rule can test. This is the one list: adding a test means one more alternative of `Match`,
/// and every reader (`std::visit` without a default) then fails to compile until it learned it.
namespace tails::ruleset {

/// "(packet & mask) == address", negated when `inverted`. The default tests nothing.
/// Masks with holes are legal in the kernel and kept. Both addresses have the table's family.
struct AddressTest {
  IpAddress address;
  IpAddress mask;
  bool inverted = false;

  static constexpr AddressTest in(const Prefix& prefix) { return {prefix.address(), prefix.mask(), false}; }
  /// True when the mask is empty; the kernel then ignores the address, and an inverted one never matches.
  [[nodiscard]] constexpr bool is_any() const { return mask.high == 0 && mask.low == 0 && !inverted; }
  [[nodiscard]] constexpr bool matches(const IpAddress& packet) const {
    const bool equal = (packet.high & mask.high) == address.high && (packet.low & mask.low) == address.low;
    return equal != inverted;
  }
  friend bool operator==(const AddressTest&, const AddressTest&) = default;
};

/// An interface name, or a name prefix (written "eth+"). The default tests nothing.
struct InterfaceTest {
  std::array<char, 16> name{};  ///< Zero-terminated, without the '+'.
  bool is_prefix = false;       ///< "+" alone: an empty name that is a prefix matches every interface.
  bool inverted = false;

  static constexpr InterfaceTest is(const InterfaceName& interface, bool inverted = false) {
    InterfaceTest test;
    const std::string_view view = interface.view();
    for (size_t i = 0; i < view.size(); ++i) test.name[i] = view[i];
    test.inverted = inverted;
    return test;
  }
  [[nodiscard]] constexpr std::string_view view() const { return {name.data()}; }
  [[nodiscard]] constexpr bool is_any() const { return name[0] == '\0' && !inverted; }
  [[nodiscard]] constexpr bool matches(const InterfaceName& packet) const {
    if (name[0] == '\0') return !inverted;
    const bool equal = is_prefix ? packet.view().starts_with(view()) : packet.view() == view();
    return equal != inverted;
  }
  friend bool operator==(const InterfaceTest&, const InterfaceTest&) = default;
};

/// The part of a rule that every xtables entry has (struct ipt_ip, struct ip6t_ip6).
struct HeaderTest {
  enum class Fragment : uint8_t { kAny, kLater, kNotLater };  ///< "-f" and "! -f", IPv4 only.

  AddressTest source;
  AddressTest destination;
  InterfaceTest in;
  InterfaceTest out;
  uint8_t protocol = 0;  ///< 0: any.
  bool protocol_inverted = false;
  Fragment fragment = Fragment::kAny;

  friend bool operator==(const HeaderTest&, const HeaderTest&) = default;
};

/// `-m tcp`. The rule's header names protocol 6.
struct TcpMatch {
  PortRange source;
  PortRange destination;
  bool source_inverted = false;
  bool destination_inverted = false;
  uint8_t flag_mask = 0;  ///< 0: flags are not tested.
  uint8_t flag_compare = 0;
  bool flags_inverted = false;
  uint8_t option = 0;  ///< TCP option number that must be present, 0: not tested. The evaluator cannot know.
  bool option_inverted = false;

  friend bool operator==(const TcpMatch&, const TcpMatch&) = default;
};

/// `-m udp`. The rule's header names protocol 17.
struct UdpMatch {
  PortRange source;
  PortRange destination;
  bool source_inverted = false;
  bool destination_inverted = false;

  friend bool operator==(const UdpMatch&, const UdpMatch&) = default;
};

/// `-m icmp` in an IPv4 table, `-m icmp6` in an IPv6 table.
struct IcmpMatch {
  std::optional<uint8_t> type;  ///< Empty: any (255 in the IPv4 kernel structure).
  uint8_t code_min = 0;
  uint8_t code_max = 255;
  bool inverted = false;

  friend bool operator==(const IcmpMatch&, const IcmpMatch&) = default;
};

/// `-m multiport`: TCP, UDP, UDP-Lite, DCCP or SCTP ports; a range takes two of the fifteen places.
struct MultiportMatch {
  enum class Side : uint8_t { kSource, kDestination, kEither };
  static constexpr size_t kMaxPlaces = 15;

  Side side = Side::kDestination;
  std::vector<PortRange> ports;
  bool inverted = false;

  friend bool operator==(const MultiportMatch&, const MultiportMatch&) = default;
};

/// `-m owner`: who opened the sending socket. A packet without a socket matches only where every
/// test that is made is inverted (net/netfilter/xt_owner.c), so inversion never grants in our rules.
struct OwnerMatch {
  /// Numbers `first`..`last`, both included.
  struct Range {
    uint32_t first = 0;
    uint32_t last = 0;
    bool inverted = false;
    [[nodiscard]] constexpr bool matches(uint32_t id) const { return (first <= id && id <= last) != inverted; }
    friend bool operator==(const Range&, const Range&) = default;
  };

  std::optional<Range> uid;
  std::optional<Range> gid;
  std::optional<bool> socket_exists;  ///< `--socket-exists`, false: inverted.
  bool supplementary_groups = false;  ///< `--suppl-groups`: the evaluator cannot know these.

  static OwnerMatch is(Uid user) { return {Range{user.value, user.value, false}, std::nullopt, std::nullopt, false}; }
  friend bool operator==(const OwnerMatch&, const OwnerMatch&) = default;
};

/// `-m state`, the old match (upstream's acceptance checks read this one).
struct StateMatch {
  StateSet states;
  bool inverted = false;  ///< Written "! --state"; the kernel holds the complement.

  friend bool operator==(const StateMatch&, const StateMatch&) = default;
};

/// `-m conntrack`: state, status, direction. Its other tests (original addresses and so on) make an OpaqueMatch.
struct ConntrackMatch {
  /// Bits of `--ctstate`: StateSet's, and SNAT 64, DNAT 128.
  static constexpr uint16_t kSnat = 64;
  static constexpr uint16_t kDnat = 128;

  std::optional<uint16_t> state_mask;
  bool state_inverted = false;
  std::optional<uint16_t>
      status_mask;  ///< `--ctstatus`: IPS_EXPECTED 1, SEEN_REPLY 2, ASSURED 4, CONFIRMED 8; 0: NONE.
  bool status_inverted = false;
  std::optional<Direction> direction;

  friend bool operator==(const ConntrackMatch&, const ConntrackMatch&) = default;
};

/// `-m limit`: a token bucket. Whether a packet finds a token nobody can know from the packet.
struct LimitMatch {
  /// Cost of one packet in 1/10000 s (linux/netfilter/xt_limit.h XT_LIMIT_SCALE): "20/second" is 500.
  uint32_t average = 0;
  uint32_t burst = 5;

  friend bool operator==(const LimitMatch&, const LimitMatch&) = default;
};

/// `-m mark`: (packet's mark & mask) == value.
struct MarkMatch {
  uint32_t value = 0;
  uint32_t mask = 0xFFFFFFFF;
  bool inverted = false;

  friend bool operator==(const MarkMatch&, const MarkMatch&) = default;
};

/// `-m connmark`: (flow's mark & mask) == value.
struct ConnmarkMatch {
  uint32_t value = 0;
  uint32_t mask = 0xFFFFFFFF;
  bool inverted = false;

  friend bool operator==(const ConnmarkMatch&, const ConnmarkMatch&) = default;
};

/// `-m addrtype`: kinds of address as the routing table sees them.
struct AddrtypeMatch {
  uint16_t source_types = 0;  ///< AddressType bits, 0: not tested.
  uint16_t destination_types = 0;
  bool source_inverted = false;
  bool destination_inverted = false;
  bool limit_iface_in = false;
  bool limit_iface_out = false;

  friend bool operator==(const AddrtypeMatch&, const AddrtypeMatch&) = default;
};

/// `-m dscp`: the six DiffServ bits.
struct DscpMatch {
  uint8_t dscp = 0;
  bool inverted = false;

  friend bool operator==(const DscpMatch&, const DscpMatch&) = default;
};

/// `-m comment`: always true.
struct CommentMatch {
  std::string text;  ///< At most 255 bytes.

  friend bool operator==(const CommentMatch&, const CommentMatch&) = default;
};

/// A match we do not know. Never ignored: it may match or not, and what depends on it says so.
struct OpaqueMatch {
  SharedText name;
  uint8_t revision = 0;
  std::vector<std::byte> data;  ///< The kernel's bytes; empty when read from text.
  SharedText text;              ///< Its options as iptables-save wrote them; empty when read from the kernel.
  /// The same bytes always give the same answer for the same packet, so two of them share one unknown.
  bool is_stateless = false;

  friend bool operator==(const OpaqueMatch&, const OpaqueMatch&) = default;
};

using Match = std::variant<TcpMatch, UdpMatch, IcmpMatch, MultiportMatch, OwnerMatch, StateMatch, ConntrackMatch,
                           LimitMatch, MarkMatch, ConnmarkMatch, AddrtypeMatch, DscpMatch, CommentMatch, OpaqueMatch>;

/// Whether two matches of that name with the same bytes always agree about one packet: they look at nothing but what
/// stays with it through all tables (not at addresses or ports, which nat rewrites, not at time, sets or counters).
bool is_stateless_extension(std::string_view name);

/// The name of the extension as the kernel knows it in a table of `family` ("tcp", "icmp6", …).
std::string_view extension_name(const Match& match, Family family);

}  // namespace tails::ruleset
