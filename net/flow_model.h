#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "net/ids.h"
#include "net/packet.h"
#include "net/tuple.h"

/// What conntrack would say of a packet: the one model of connection states, for whoever must compute them
/// (the fast path, tests). Pure; time is an argument.
///
/// As the kernel does it (net/netfilter/nf_conntrack_proto_{tcp,udp,icmp,generic}.c, `nf_conntrack_tcp_loose` 0), but:
/// 1. TCP sequence numbers and windows are not followed.
/// 2. A SYN from the answering side never opens a flow over a closed one: it is INVALID.
/// 3. ICMP errors are INVALID, never RELATED: no policy of ours grants RELATED by a wire.
/// 4. A UDP flow becomes a stream with the opener's first packet after an answer, not two seconds later.
/// 5. SCTP, DCCP and UDP-Lite are flows by their ports, without states of their own.
namespace tails::flow_model {

/// How far a flow has got. kNone: there is no flow.
enum class Phase : uint8_t {
  kNone,
  // TCP
  kSynSent,
  kSynAnswered,  ///< As kSynSent, and the other side sent an ACK that belongs to some older connection.
  kSynSent2,     ///< Both sides sent SYN (RFC 9293 section 3.5, simultaneous open).
  kSynReceived,
  kEstablished,
  kFinWait,
  kCloseWait,
  kLastAck,
  kTimeWait,
  kClosed,
  // everything else
  kUnreplied,
  kReplied,
  kStream,  ///< UDP only.
};
inline constexpr unsigned kPhaseCount = 14;

/// What a packet means to a flow.
enum class Event : uint8_t {
  kSyn,
  kSynAck,
  kFin,
  kAck,
  kRst,
  kRequest,    ///< ICMP echo, timestamp, information, address mask request.
  kAnswer,     ///< The reply to one of those.
  kDatagram,   ///< UDP and everything without states.
  kMalformed,  ///< TCP flags that no segment has (RFC 9293), any other ICMP.
};
inline constexpr unsigned kEventCount = 9;

/// For ICMP `flags_or_type` is the type, for TCP the flags (tcp_flag), else unused.
Event event_of(uint8_t protocol, uint8_t flags_or_type);

/// What a packet is, and what it makes of its flow if it is let through.
struct Step {
  ConnState state = ConnState::kInvalid;
  Phase next = Phase::kNone;  ///< kNone: the flow is forgotten.
  bool opens = false;         ///< It starts a flow, perhaps over a closed one.
  bool refreshes = false;     ///< The timeout starts again.
  friend constexpr bool operator==(const Step&, const Step&) = default;
};

/// One packet of `direction` on a flow in `phase`; with kNone the direction is kOriginal.
/// kInvalid leaves the flow as it is.
Step step(Phase phase, Direction direction, Event event);

/// Seconds without a refreshing packet after which a flow is forgotten (the kernel's defaults,
/// Documentation/networking/nf_conntrack-sysctl.rst).
uint32_t timeout_seconds(uint8_t protocol, Phase phase);

/// Time is counted in ticks of this many seconds, so that a deadline fits 16 bits.
constexpr uint32_t tick_seconds(Phase phase) { return phase == Phase::kEstablished ? 16 : 1; }

/// The last tick in which a flow refreshed at `now_seconds` still lives.
uint64_t last_tick(uint64_t now_seconds, uint8_t protocol, Phase phase);

/// Where a packet comes from, for a filter between a machine and its network. Answers come from the other side.
enum class Side : uint8_t { kInside, kOutside };
constexpr Side other(Side side) { return side == Side::kInside ? Side::kOutside : Side::kInside; }

/// A plain table of the flows between two sides: what the fast one is compared with. Not thread-safe.
class FlowBook {
 public:
  /// What a packet is in the light of the flows that are known.
  struct Sight {
    Step step;
    Direction direction = Direction::kOriginal;
    Phase phase = Phase::kNone;
    std::optional<uint8_t> owner;  ///< Of the flow; empty without one.
  };

  /// `tuple` as the packet has it. Fragments and packets without a transport header are no packets here.
  [[nodiscard]] Sight look(Side from, const FlowTuple& tuple, Event event, uint64_t now_seconds) const;
  /// The packet was let through: `sight` is what `look` just said of it. `owner` is kept by a new flow.
  void pass(Side from, const FlowTuple& tuple, const Sight& sight, uint8_t owner, uint64_t now_seconds);
  /// Forgets the flow that such a packet belongs to, if there is one.
  void forget(Side from, const FlowTuple& tuple);
  /// Forgets every flow for which `is_unwanted(opener's side, opener's tuple, owner)`.
  template <class Predicate>
  void forget_if(Predicate&& is_unwanted) {
    std::erase_if(
        flows_, [&](const auto& flow) { return is_unwanted(flow.first.first, flow.first.second, flow.second.owner); });
  }
  /// Number of flows that live at `now_seconds`; forgets the others.
  size_t expire(uint64_t now_seconds);

 private:
  struct Flow {
    Phase phase;
    uint64_t last_tick;
    uint8_t owner;
  };
  using Key = std::pair<Side, FlowTuple>;  ///< The opener's side and tuple.
  using Flows = std::map<Key, Flow>;

  [[nodiscard]] Flows::const_iterator find_living(const Key& key, uint64_t now_seconds) const;

  Flows flows_;
};

/// The tuple of the packets that answer `tuple`. An ICMP type without an answer stays.
FlowTuple answer_to(const FlowTuple& tuple);

}  // namespace tails::flow_model
