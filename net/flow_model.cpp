#include "net/flow_model.h"

#include <utility>

namespace tails::flow_model {
namespace {

// linux/icmp.h: the pairs of request and reply.
constexpr uint8_t kEchoReply = 0, kEcho = 8, kTimestamp = 13, kTimestampReply = 14, kInfo = 15, kInfoReply = 16,
                  kMask = 17, kMaskReply = 18;

Event tcp_event(uint8_t flags) {
  using namespace tcp_flag;
  const unsigned relevant = flags & (kFin | kSyn | kRst | kAck | kUrg);
  switch (relevant) {
    case kSyn:
    case kSyn | kUrg: return Event::kSyn;
    case kSyn | kAck: return Event::kSynAck;
    case kRst:
    case kRst | kAck: return Event::kRst;
    case kFin | kAck:
    case kFin | kAck | kUrg: return Event::kFin;
    case kAck:
    case kAck | kUrg: return Event::kAck;
    default: return Event::kMalformed;
  }
}

Event icmp_event(uint8_t type) {
  switch (type) {
    case kEcho:
    case kTimestamp:
    case kInfo:
    case kMask: return Event::kRequest;
    case kEchoReply:
    case kTimestampReply:
    case kInfoReply:
    case kMaskReply: return Event::kAnswer;
    default: return Event::kMalformed;
  }
}

constexpr Step invalid(Phase phase) { return {ConnState::kInvalid, phase, false, false}; }
constexpr Step opens(Phase next) { return {ConnState::kNew, next, true, true}; }
constexpr Step fresh(Phase next) { return {ConnState::kNew, next, false, true}; }
constexpr Step established(Phase next) { return {ConnState::kEstablished, next, false, true}; }
/// Let through as part of the flow, but it moves nothing: it may belong to a connection that we cannot see.
constexpr Step ignored(Phase phase) { return {ConnState::kEstablished, phase, false, false}; }

Step before_answer(Phase phase, Direction direction, Event event) {
  const bool seen_reply = phase != Phase::kSynSent;
  if (direction == Direction::kOriginal) {
    if (event == Event::kSyn) return seen_reply ? established(phase) : fresh(phase);
    if (event == Event::kSynAck && phase == Phase::kSynSent2) return established(Phase::kSynReceived);
    // Nobody has answered and the opener gives up: nothing is left to follow.
    if (event == Event::kRst) return seen_reply ? established(Phase::kClosed) : fresh(Phase::kNone);
    return invalid(phase);
  }
  switch (event) {
    case Event::kSyn: return established(Phase::kSynSent2);
    case Event::kSynAck: return established(Phase::kSynReceived);
    // A challenge ACK (RFC 9293 section 3.10.7.4) must reach the opener, who answers it with RST.
    case Event::kAck: return ignored(phase == Phase::kSynSent ? Phase::kSynAnswered : phase);
    case Event::kRst: return established(seen_reply ? Phase::kClosed : Phase::kNone);
    default: return invalid(phase);
  }
}

/// From the first SYN-ACK on.
Step after_answer(Phase phase, Direction direction, Event event) {
  const bool original = direction == Direction::kOriginal;
  switch (event) {
    case Event::kSyn:
      if (!original) return invalid(phase);
      if (phase == Phase::kTimeWait || phase == Phase::kClosed) return opens(Phase::kSynSent);
      return ignored(phase);
    case Event::kSynAck:
      if (original) return phase == Phase::kSynReceived ? established(phase) : invalid(phase);
      return ignored(phase);
    case Event::kRst: return established(Phase::kClosed);
    case Event::kFin:
      switch (phase) {
        case Phase::kSynReceived:
        case Phase::kEstablished: return established(Phase::kFinWait);
        case Phase::kFinWait:
        case Phase::kCloseWait: return established(Phase::kLastAck);
        default: return established(phase);
      }
    case Event::kAck:
      switch (phase) {
        case Phase::kSynReceived: return established(original ? Phase::kEstablished : phase);
        case Phase::kFinWait: return established(Phase::kCloseWait);
        case Phase::kLastAck: return established(Phase::kTimeWait);
        default: return established(phase);
      }
    default: return invalid(phase);
  }
}

Step stateless(Phase phase, Direction direction, Event event) {
  if (direction == Direction::kOriginal) {
    if (event == Event::kAnswer) return invalid(phase);
    if (phase == Phase::kUnreplied) return fresh(phase);
    return established(event == Event::kDatagram ? Phase::kStream : phase);
  }
  if (event == Event::kRequest) return invalid(phase);
  return established(phase == Phase::kUnreplied ? Phase::kReplied : phase);
}

constexpr uint8_t other_icmp_type(uint8_t type) {
  switch (type) {
    case kEcho: return kEchoReply;
    case kEchoReply: return kEcho;
    case kTimestamp: return kTimestampReply;
    case kTimestampReply: return kTimestamp;
    case kInfo: return kInfoReply;
    case kInfoReply: return kInfo;
    case kMask: return kMaskReply;
    case kMaskReply: return kMask;
    default: return type;
  }
}

}  // namespace

Event event_of(uint8_t protocol, uint8_t flags_or_type) {
  switch (protocol) {
    case protocol::kTcp: return tcp_event(flags_or_type);
    case protocol::kIcmp: return icmp_event(flags_or_type);
    default: return Event::kDatagram;
  }
}

Step step(Phase phase, Direction direction, Event event) {
  if (event == Event::kMalformed) return invalid(phase);
  const bool is_tcp_event = event <= Event::kRst;
  switch (phase) {
    case Phase::kNone:
      if (event == Event::kSyn) return opens(Phase::kSynSent);
      if (event == Event::kRequest || event == Event::kDatagram) return opens(Phase::kUnreplied);
      return invalid(phase);
    case Phase::kSynSent:
    case Phase::kSynAnswered:
    case Phase::kSynSent2: return is_tcp_event ? before_answer(phase, direction, event) : invalid(phase);
    case Phase::kSynReceived:
    case Phase::kEstablished:
    case Phase::kFinWait:
    case Phase::kCloseWait:
    case Phase::kLastAck:
    case Phase::kTimeWait:
    case Phase::kClosed: return is_tcp_event ? after_answer(phase, direction, event) : invalid(phase);
    case Phase::kUnreplied:
    case Phase::kReplied:
    case Phase::kStream: return is_tcp_event ? invalid(phase) : stateless(phase, direction, event);
  }
  return invalid(phase);
}

uint32_t timeout_seconds(uint8_t protocol, Phase phase) {
  switch (phase) {
    case Phase::kNone: return 0;
    case Phase::kSynSent:
    case Phase::kSynAnswered:
    case Phase::kSynSent2: return 120;
    case Phase::kSynReceived: return 60;
    case Phase::kEstablished: return 5 * 24 * 3600;
    case Phase::kFinWait: return 120;
    case Phase::kCloseWait: return 60;
    case Phase::kLastAck: return 30;
    case Phase::kTimeWait: return 120;
    case Phase::kClosed: return 10;
    case Phase::kUnreplied:
    case Phase::kReplied:
    case Phase::kStream: break;
  }
  switch (protocol) {
    case protocol::kUdp:
    case protocol::kUdplite: return phase == Phase::kStream ? 120 : 30;
    case protocol::kIcmp: return 30;
    default: return 600;
  }
}

uint64_t last_tick(uint64_t now_seconds, uint8_t protocol, Phase phase) {
  return now_seconds / tick_seconds(phase) + timeout_seconds(protocol, phase) / tick_seconds(phase);
}

FlowTuple answer_to(const FlowTuple& tuple) {
  FlowTuple answer = tuple;
  std::swap(answer.source, answer.destination);
  if (tuple.protocol == protocol::kIcmp) answer.icmp_type = other_icmp_type(tuple.icmp_type);
  return answer;
}

FlowBook::Flows::const_iterator FlowBook::find_living(const Key& key, uint64_t now_seconds) const {
  const auto at = flows_.find(key);
  if (at == flows_.end() || now_seconds / tick_seconds(at->second.phase) <= at->second.last_tick) return at;
  return flows_.end();
}

FlowBook::Sight FlowBook::look(Side from, const FlowTuple& tuple, Event event, uint64_t now_seconds) const {
  const auto sight = [&](const Flow& flow, Direction direction) {
    return Sight{step(flow.phase, direction, event), direction, flow.phase, flow.owner};
  };
  if (const auto at = find_living({from, tuple}, now_seconds); at != flows_.end()) {
    return sight(at->second, Direction::kOriginal);
  }
  if (const auto at = find_living({other(from), answer_to(tuple)}, now_seconds); at != flows_.end()) {
    return sight(at->second, Direction::kReply);
  }
  return {step(Phase::kNone, Direction::kOriginal, event), Direction::kOriginal, Phase::kNone, std::nullopt};
}

void FlowBook::pass(Side from, const FlowTuple& tuple, const Sight& sight, uint8_t owner, uint64_t now_seconds) {
  if (sight.step.state == ConnState::kInvalid) return;
  const Key key = sight.direction == Direction::kOriginal ? Key{from, tuple} : Key{other(from), answer_to(tuple)};
  if (sight.step.next == Phase::kNone) {
    flows_.erase(key);
    return;
  }
  Flow& flow = flows_[key];
  if (sight.step.opens) flow.owner = owner;
  flow.phase = sight.step.next;
  if (sight.step.refreshes) flow.last_tick = last_tick(now_seconds, tuple.protocol, flow.phase);
}

void FlowBook::forget(Side from, const FlowTuple& tuple) {
  flows_.erase({from, tuple});
  flows_.erase({other(from), answer_to(tuple)});
}

size_t FlowBook::expire(uint64_t now_seconds) {
  std::erase_if(flows_, [&](const auto& entry) {
    return now_seconds / tick_seconds(entry.second.phase) > entry.second.last_tick;
  });
  return flows_.size();
}

}  // namespace tails::flow_model
