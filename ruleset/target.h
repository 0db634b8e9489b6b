#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "net/shared_text.h"

/// What a rule can do. The one list, like `Match`.
namespace tails::ruleset {

struct Accept {
  friend bool operator==(const Accept&, const Accept&) = default;
};
struct Drop {
  friend bool operator==(const Drop&, const Drop&) = default;
};
/// Back to the calling chain; in a built-in chain: its policy.
struct Return {
  friend bool operator==(const Return&, const Return&) = default;
};
/// A rule without `-j`: counts and goes on.
struct Continue {
  friend bool operator==(const Continue&, const Continue&) = default;
};

/// `-j CHAIN`, or `-g CHAIN` (RETURN then goes to the caller's caller).
struct Jump {
  std::string chain;
  bool is_goto = false;

  friend bool operator==(const Jump&, const Jump&) = default;
};

/// `-j REJECT`. Values are those of linux/netfilter_ipv4/ipt_REJECT.h or netfilter_ipv6/ip6t_REJECT.h,
/// by the table's family.
struct Reject {
  uint32_t with = 0;

  static constexpr uint32_t kPortUnreachableV4 = 3;  ///< IPT_ICMP_PORT_UNREACHABLE
  static constexpr uint32_t kPortUnreachableV6 = 4;  ///< IP6T_ICMP6_PORT_UNREACH
  friend bool operator==(const Reject&, const Reject&) = default;
};

/// `-j LOG`: a line in the kernel's log.
struct Log {
  uint8_t level = 4;   ///< syslog(3) priority; 7 is debug.
  uint8_t flags = 0;   ///< linux/netfilter/xt_LOG.h: TCPSEQ 1, TCPOPT 2, IPOPT 4, UID 8, MACDECODE 0x20.
  std::string prefix;  ///< At most 29 bytes (30 with the kernel's terminator).

  static constexpr uint8_t kUid = 8;
  friend bool operator==(const Log&, const Log&) = default;
};

/// `-j NFLOG`: a copy to a netlink group.
struct Nflog {
  uint16_t group = 0;
  uint16_t threshold = 0;
  std::optional<uint32_t> size;  ///< `--nflog-size`: bytes copied (XT_NFLOG_F_COPY_LEN); empty: all.
  std::string prefix;            ///< At most 63 bytes.

  friend bool operator==(const Nflog&, const Nflog&) = default;
};

/// `-j REDIRECT`: to this machine (127.0.0.1 or ::1 in OUTPUT). nat only.
struct Redirect {
  std::optional<PortRange> ports;  ///< Empty: the port stays.
  bool random = false;

  friend bool operator==(const Redirect&, const Redirect&) = default;
};

/// `-j MASQUERADE`: source becomes the outgoing interface's address. nat POSTROUTING only.
struct Masquerade {
  std::optional<PortRange> ports;
  bool random = false;
  bool random_fully = false;

  friend bool operator==(const Masquerade&, const Masquerade&) = default;
};

/// `-j DNAT`: destination becomes an address of `first`..`last`. nat PREROUTING and OUTPUT only.
struct Dnat {
  std::optional<IpAddress> first;  ///< Empty: the address stays.
  std::optional<IpAddress> last;   ///< Present exactly when `first` is.
  std::optional<PortRange> ports;
  bool random = false;
  bool persistent = false;

  friend bool operator==(const Dnat&, const Dnat&) = default;
};

/// `-j MARK`: mark = (mark & ~mask) ^ value (`--set-xmark`).
struct SetMark {
  uint32_t value = 0;
  uint32_t mask = 0xFFFFFFFF;

  friend bool operator==(const SetMark&, const SetMark&) = default;
};

/// `-j CONNMARK` (linux/netfilter/xt_connmark.h).
struct SetConnmark {
  enum class Mode : uint8_t { kSet, kSave, kRestore };

  Mode mode = Mode::kSet;
  uint32_t value = 0;  ///< kSet: (ctmark & ~ctmask) ^ value.
  uint32_t ctmask = 0xFFFFFFFF;
  uint32_t nfmask = 0xFFFFFFFF;  ///< kSave, kRestore.

  friend bool operator==(const SetConnmark&, const SetConnmark&) = default;
};

/// `-j DSCP --set-dscp`: mangle only.
struct SetDscp {
  uint8_t dscp = 0;  ///< 0..63

  friend bool operator==(const SetDscp&, const SetDscp&) = default;
};

/// A target we do not know: it may give any verdict, go on, or rewrite the packet.
struct OpaqueTarget {
  SharedText name;
  uint8_t revision = 0;
  std::vector<std::byte> data;  ///< The kernel's bytes; empty when read from text.
  SharedText text;              ///< Its options as iptables-save wrote them; empty when read from the kernel.

  friend bool operator==(const OpaqueTarget&, const OpaqueTarget&) = default;
};

using Target = std::variant<Accept, Drop, Return, Continue, Jump, Reject, Log, Nflog, Redirect, Masquerade, Dnat,
                            SetMark, SetConnmark, SetDscp, OpaqueTarget>;

/// "ACCEPT", "LOG", …; for a jump the chain's name, for Continue "".
std::string_view target_name(const Target& target);

}  // namespace tails::ruleset
