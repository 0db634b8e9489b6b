#include "leaktest/expectation.h"

#include <vector>

#include "leaktest/bed.h"
#include "leaktest/places.h"
#include "policy/decide.h"

namespace tails::leaktest {
namespace {

Packet packet_of(const policy::Policy& policy, const Case& attempt, ConnState state, uint8_t icmp_type) {
  Packet packet;
  packet.protocol = attempt.protocol;
  packet.destination = attempt.target.address;
  packet.source = attempt.source.address;
  packet.source_port = attempt.source.port;
  packet.destination_port = attempt.target.port;
  packet.tcp_flags = attempt.tcp_flags;
  packet.icmp_type = icmp_type;
  packet.later_fragment = attempt.means == Means::kLaterFragment;
  packet.out = route_of(policy, packet.destination, attempt.device);
  packet.uid = attempt.uid;
  if (attempt.uid) packet.gid = Gid{attempt.uid->value};
  packet.state = state;
  return packet;
}

/// Whether an answer can come back to the socket.
bool can_be_answered(const Case& attempt) {
  if (is_for_many(attempt.target.address) || attempt.has_source_address) return false;
  switch (attempt.means) {
    case Means::kTcp:
    case Means::kFastOpen:
    case Means::kUdp:
    case Means::kUdpSend:
    case Means::kPing: return true;
    default: return false;
  }
}

/// A refusal is an ICMP error to the sender's own address: of IPv6 only what is between ::1 and ::1 passes.
bool can_be_told(const Case& attempt) {
  return attempt.target.address.family == Family::kIpv4 || attempt.target.address == kLoopbackV6;
}

}  // namespace

void expect(const policy::Policy& policy, Case& attempt) {
  const bool is_icmp = attempt.means == Means::kPing || attempt.means == Means::kRawIcmp;
  const uint8_t icmp_type = is_icmp ? (attempt.target.address.family == Family::kIpv4 ? 8 : 128) : 0;
  std::vector<ConnState> states{ConnState::kNew};
  const bool is_odd_tcp = attempt.means == Means::kRawPacket && attempt.protocol == protocol::kTcp &&
                          (attempt.tcp_flags & tcp_flag::kSynMask) != tcp_flag::kSyn;
  // What conntrack makes of these depends on its settings; a state that the packet may have must not let it out.
  if (is_odd_tcp) states.push_back(ConnState::kInvalid);
  if (attempt.means == Means::kLaterFragment) states = {ConnState::kInvalid, ConnState::kUntracked};
  if (attempt.means == Means::kUdpReuse) states = {ConnState::kEstablished};
  if (attempt.means == Means::kSynIntoFlow) states = {ConnState::kEstablished, ConnState::kInvalid};
  bool may_pass = false;
  attempt.arrives_at = attempt.target;
  for (const ConnState state : states) {
    const policy::Decision decision = policy::decide(policy, packet_of(policy, attempt, state, icmp_type));
    may_pass |= decision.verdict == Verdict::kAccept;
    if (decision.redirected_to) attempt.arrives_at = *decision.redirected_to;
    attempt.origin = decision.origin;
  }
  if (is_into_flow(attempt)) {
    // Where the other's flow goes; what is sent into it is not redirected anew.
    Packet first = packet_of(policy, attempt, ConnState::kNew, icmp_type);
    first.uid = attempt.opener;
    first.gid = Gid{attempt.opener.value};
    if (const auto to = policy::decide(policy, first).redirected_to) attempt.arrives_at = *to;
  }
  if (may_pass) {
    attempt.expected = can_be_answered(attempt) ? Expected::kReaches : Expected::kPasses;
  } else if (attempt.means == Means::kTcp && !attempt.has_source_address && can_be_told(attempt) &&
             policy.blocked.answer == policy::Blocked::Answer::kReject) {
    attempt.expected = Expected::kRefused;
  } else {
    attempt.expected = Expected::kStopped;
  }
}

void expect_on_cable(const policy::Policy& policy, Case& attempt, const InterfaceName& in) {
  Packet packet = packet_of(policy, attempt, ConnState::kNew, 8);
  packet.source = attempt.source.address;
  packet.uid.reset();
  packet.gid.reset();
  packet.in = in;
  const bool is_local = is_own(policy, attempt.target.address);
  packet.hook = is_local ? Hook::kInput : Hook::kForward;
  packet.out = is_local ? InterfaceName{} : route_of(policy, attempt.target.address);
  const policy::Decision decision = policy::decide(policy, packet);
  attempt.origin = decision.origin;
  attempt.arrives_at = attempt.target;
  attempt.expected = decision.verdict == Verdict::kAccept ? Expected::kPasses : Expected::kStopped;
  // A packet from nowhere: what would be let in still finds nobody.
  if (attempt.expected == Expected::kPasses && is_local && attempt.protocol != protocol::kTcp) {
    attempt.expected = Expected::kStopped;
  }
}

}  // namespace tails::leaktest
