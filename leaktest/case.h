#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/ids.h"
#include "net/interface_name.h"
#include "net/packet.h"
#include "policy/policy.h"

/// One attempt to get somewhere, what the policy says of it, and what came of it.
namespace tails::leaktest {

/// What a program does.
enum class Means : uint8_t {
  kTcp,            ///< connect(2).
  kFastOpen,       ///< sendto(2) with MSG_FASTOPEN: data in the SYN.
  kUdp,            ///< A connected socket; waits for the answer.
  kUdpSend,        ///< sendto(2) on an unconnected socket; waits for the answer.
  kPing,           ///< An unprivileged echo request (icmp(7), ping_group_range).
  kRawIcmp,        ///< A raw ICMP socket: an echo request.
  kRawPacket,      ///< A raw socket with IP_HDRINCL: TCP with any flags, or UDP.
  kFragments,      ///< A raw UDP datagram in two fragments.
  kLaterFragment,  ///< Only a second fragment, of IPv4 kept from reassembly (IP_NODEFRAG).
  kBehindOptions,  ///< As kRawPacket, with an IPv6 hop-by-hop header before the transport's.
  kRawProtocol,    ///< A raw socket of any other protocol.
  kJoin,           ///< IP_ADD_MEMBERSHIP: the kernel itself wants to send IGMP, or MLD.
  kUdpReuse,       ///< Another user's UDP flow was answered; its port is bound again, its peer is asked.
  kLateAnswer,     ///< Asks by UDP and is gone before the answer: the kernel would send an ICMP error.
  kSynIntoFlow,    ///< Another user's TCP connection is open; a raw SYN with its addresses and ports.
  kInject,         ///< A packet put on a cable, past the sender's own kernel.
};

/// What the policy says.
enum class Expected : uint8_t {
  kReaches,  ///< Gets there, and an answer comes back.
  kPasses,   ///< Gets out; nobody can answer.
  kRefused,  ///< Does not get out, and the program learns at once.
  kStopped,  ///< Does not get out.
};

struct Case {
  uint32_t id = 0;         ///< Its index in the plan.
  std::string user;        ///< "amnesia", "nobody we know", "amnesia in tbb", "the LAN".
  std::optional<Uid> uid;  ///< None: injected.
  std::string place;  ///< Where it is sent from: "" this machine, else a guest; injected: the far side's interface.
  std::string to;     ///< "web site", "Tor SOCKS": a row of the matrix.
  std::string how;    ///< "TCP", "UDP, bound to eth0", …
  Means means = Means::kTcp;
  uint8_t protocol = protocol::kTcp;
  Endpoint target;
  Endpoint source;  ///< Port: unique in a round. Address: the one that the kernel chooses, or a forced one.
  bool has_source_address = false;  ///< It is forced.
  InterfaceName device{};           ///< SO_BINDTODEVICE; of the sending side.
  uint8_t tcp_flags = tcp_flag::kSyn;
  uint8_t tos = 0;
  Uid opener{};  ///< kUdpReuse, kSynIntoFlow: whose flow.
  Expected expected = Expected::kStopped;
  Endpoint arrives_at;    ///< Behind a redirection; where it is expected to be seen.
  policy::Origin origin;  ///< The entry that says so.
  unsigned round = 0;     ///< Cases of one round run side by side.

  [[nodiscard]] bool may_pass() const { return expected == Expected::kReaches || expected == Expected::kPasses; }
};

/// Of a flow that another user opened.
inline bool is_into_flow(const Case& attempt) {
  return attempt.means == Means::kUdpReuse || attempt.means == Means::kSynIntoFlow;
}

/// What was seen of a case.
struct Observation {
  bool is_seen = false;  ///< On a wire, or on lo behind the filter.
  bool is_answered = false;
  bool is_elsewhere = false;  ///< Seen with another destination than the policy's.
  bool is_unmasked = false;   ///< Left the machine with a guest's own address.
  std::optional<int> error;   ///< errno of the program; empty: nothing to be told.
};

/// Whether what was seen is what the policy says.
enum class Judgement : uint8_t {
  kAsMeant,
  kLeak,    ///< Got out although it must not.
  kBroken,  ///< Did not get there although it should, or hangs where it should be refused.
};
Judgement judge(const Case& attempt, const Observation& seen);

/// "reached", "left the machine", "refused (ECONNREFUSED)", "silence".
std::string describe(const Case& attempt, const Observation& seen);
/// "reaches", "passes", "refused", "stopped".
std::string_view describe(Expected expected);

}  // namespace tails::leaktest
