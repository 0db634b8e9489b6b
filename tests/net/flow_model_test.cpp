#include "net/flow_model.h"

#include <gtest/gtest.h>

#include <vector>

namespace tails::flow_model {
namespace {

using enum Event;
constexpr auto kOriginal = Direction::kOriginal;
constexpr auto kReply = Direction::kReply;

/// One packet of a story: who sends it, what it is, what conntrack says of it.
struct Line {
  Direction direction;
  Event event;
  ConnState state;
  Phase then;
};

/// Runs a story from no flow on; a packet that is INVALID changes nothing.
void expect_story(const std::vector<Line>& lines) {
  Phase phase = Phase::kNone;
  for (size_t i = 0; i < lines.size(); ++i) {
    const Step result = step(phase, lines[i].direction, lines[i].event);
    EXPECT_EQ(result.state, lines[i].state) << "line " << i;
    EXPECT_EQ(result.next, lines[i].then) << "line " << i;
    phase = result.next;
  }
}

constexpr auto kNew = ConnState::kNew;
constexpr auto kEst = ConnState::kEstablished;
constexpr auto kInvalid = ConnState::kInvalid;

TEST(FlowModel, FollowsATcpConnectionFromSynToTimeWait) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent},
                {kOriginal, kSyn, kNew, Phase::kSynSent},
                {kReply, kSynAck, kEst, Phase::kSynReceived},
                {kOriginal, kAck, kEst, Phase::kEstablished},
                {kReply, kAck, kEst, Phase::kEstablished},
                {kOriginal, kFin, kEst, Phase::kFinWait},
                {kReply, kAck, kEst, Phase::kCloseWait},
                {kReply, kFin, kEst, Phase::kLastAck},
                {kOriginal, kAck, kEst, Phase::kTimeWait},
                {kOriginal, kSyn, kNew, Phase::kSynSent}});
}

TEST(FlowModel, TcpThatNobodyOpenedIsInvalid) {
  for (const Event event : {kSynAck, kFin, kAck, kRst, kMalformed}) {
    EXPECT_EQ(step(Phase::kNone, kOriginal, event), (Step{kInvalid, Phase::kNone, false, false}));
  }
}

TEST(FlowModel, OnlyTheOpenerMayRepeatASynAndItIsNoLongerNewAfterAnAnswer) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent},
                {kReply, kSynAck, kEst, Phase::kSynReceived},
                {kOriginal, kSyn, kEst, Phase::kSynReceived},
                {kReply, kSyn, kInvalid, Phase::kSynReceived},
                {kOriginal, kAck, kEst, Phase::kEstablished},
                {kOriginal, kSyn, kEst, Phase::kEstablished},
                {kReply, kSyn, kInvalid, Phase::kEstablished}});
}

TEST(FlowModel, RefusedConnectionLeavesNoFlow) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent}, {kReply, kRst, kEst, Phase::kNone}});
}

TEST(FlowModel, OpenerThatGivesUpBeforeAnAnswerLeavesNoFlow) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent}, {kOriginal, kRst, kNew, Phase::kNone}});
}

TEST(FlowModel, ChallengeAckReachesTheOpenerAndItsResetIsPartOfTheFlow) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent},
                {kReply, kAck, kEst, Phase::kSynAnswered},
                {kOriginal, kRst, kEst, Phase::kClosed},
                {kOriginal, kSyn, kNew, Phase::kSynSent}});
}

TEST(FlowModel, SimultaneousOpenIsOneFlow) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent},
                {kReply, kSyn, kEst, Phase::kSynSent2},
                {kOriginal, kSynAck, kEst, Phase::kSynReceived},
                {kReply, kSynAck, kEst, Phase::kSynReceived},
                {kOriginal, kAck, kEst, Phase::kEstablished}});
}

TEST(FlowModel, DataBeforeTheHandshakeIsInvalid) {
  expect_story({{kOriginal, kSyn, kNew, Phase::kSynSent},
                {kOriginal, kAck, kInvalid, Phase::kSynSent},
                {kOriginal, kFin, kInvalid, Phase::kSynSent},
                {kReply, kFin, kInvalid, Phase::kSynSent}});
}

TEST(FlowModel, UdpIsNewUntilAnsweredAndThenAStream) {
  expect_story({{kOriginal, kDatagram, kNew, Phase::kUnreplied},
                {kOriginal, kDatagram, kNew, Phase::kUnreplied},
                {kReply, kDatagram, kEst, Phase::kReplied},
                {kReply, kDatagram, kEst, Phase::kReplied},
                {kOriginal, kDatagram, kEst, Phase::kStream},
                {kReply, kDatagram, kEst, Phase::kStream}});
  EXPECT_EQ(timeout_seconds(protocol::kUdp, Phase::kReplied), 30U);
  EXPECT_EQ(timeout_seconds(protocol::kUdp, Phase::kStream), 120U);
}

TEST(FlowModel, IcmpAnswersNeedTheirRequestAndErrorsAreInvalid) {
  EXPECT_EQ(event_of(protocol::kIcmp, 8), kRequest);
  EXPECT_EQ(event_of(protocol::kIcmp, 0), kAnswer);
  EXPECT_EQ(event_of(protocol::kIcmp, 3), kMalformed);
  expect_story({{kOriginal, kRequest, kNew, Phase::kUnreplied},
                {kReply, kAnswer, kEst, Phase::kReplied},
                {kOriginal, kRequest, kEst, Phase::kReplied},
                {kReply, kRequest, kInvalid, Phase::kReplied}});
  EXPECT_EQ(step(Phase::kNone, kOriginal, kAnswer).state, kInvalid);
}

TEST(FlowModel, FlagsThatNoSegmentHasAreMalformed) {
  namespace f = tcp_flag;
  // net/netfilter/nf_conntrack_proto_tcp.c tcp_valid_flags: these and nothing else, PSH and ECN aside.
  const std::vector<unsigned> valid = {f::kSyn,           f::kSyn | f::kUrg, f::kSyn | f::kAck,           f::kRst,
                                       f::kRst | f::kAck, f::kFin | f::kAck, f::kFin | f::kAck | f::kUrg, f::kAck,
                                       f::kAck | f::kUrg};
  unsigned count = 0;
  for (unsigned flags = 0; flags < 256; ++flags) {
    const unsigned relevant = flags & (f::kFin | f::kSyn | f::kRst | f::kAck | f::kUrg);
    const bool is_valid = std::find(valid.begin(), valid.end(), relevant) != valid.end();
    EXPECT_EQ(event_of(protocol::kTcp, static_cast<uint8_t>(flags)) != kMalformed, is_valid) << flags;
    count += is_valid ? 1 : 0;
  }
  EXPECT_EQ(count, 9U * 8);
}

TEST(FlowModel, EveryPhaseIsReachedAndEveryStepLeadsToAPhase) {
  std::array<bool, kPhaseCount> reached{};
  reached[0] = true;
  for (unsigned round = 0; round < kPhaseCount; ++round) {
    for (unsigned phase = 0; phase < kPhaseCount; ++phase) {
      if (!reached.at(phase)) continue;
      for (unsigned event = 0; event < kEventCount; ++event) {
        for (const Direction direction : {kOriginal, kReply}) {
          if (phase == 0 && direction == kReply) continue;
          const Step result = step(static_cast<Phase>(phase), direction, static_cast<Event>(event));
          reached.at(static_cast<size_t>(result.next)) = true;
          EXPECT_TRUE(result.state != kInvalid || static_cast<unsigned>(result.next) == phase);
        }
      }
    }
  }
  for (unsigned phase = 0; phase < kPhaseCount; ++phase) EXPECT_TRUE(reached.at(phase)) << phase;
}

TEST(FlowModel, AStepWithoutRefreshKeepsTheTick) {
  // FlowBook and the fast table keep a deadline in ticks of the phase: an ignored packet must not change the tick.
  for (unsigned phase = 1; phase < kPhaseCount; ++phase) {
    for (unsigned event = 0; event < kEventCount; ++event) {
      for (const Direction direction : {kOriginal, kReply}) {
        const Step result = step(static_cast<Phase>(phase), direction, static_cast<Event>(event));
        if (result.refreshes || result.next == Phase::kNone) continue;
        EXPECT_EQ(tick_seconds(result.next), tick_seconds(static_cast<Phase>(phase)));
      }
    }
  }
}

FlowTuple udp(Port source, Port destination) {
  return {
      protocol::kUdp, {IpAddress::v4(198, 51, 100, 7), source}, {IpAddress::v4(192, 0, 2, 1), destination}, 0, 0, 0};
}

TEST(FlowBook, AnswersComeFromTheOtherSideOnly) {
  FlowBook book;
  const FlowTuple query = udp(4000, 53);
  book.pass(Side::kInside, query, book.look(Side::kInside, query, kDatagram, 0), 5, 0);
  const FlowBook::Sight answer = book.look(Side::kOutside, answer_to(query), kDatagram, 1);
  EXPECT_EQ(answer.step.state, kEst);
  EXPECT_EQ(answer.direction, kReply);
  EXPECT_EQ(answer.owner, 5);
  EXPECT_EQ(book.look(Side::kInside, answer_to(query), kDatagram, 1).step.state, kNew);
}

TEST(FlowBook, ForgetsAFlowAfterItsTimeoutAndNotBefore) {
  FlowBook book;
  const FlowTuple query = udp(4000, 53);
  book.pass(Side::kInside, query, book.look(Side::kInside, query, kDatagram, 100), 5, 100);
  EXPECT_EQ(book.look(Side::kOutside, answer_to(query), kDatagram, 130).step.state, kEst);
  EXPECT_EQ(book.expire(130), 1U);
  EXPECT_EQ(book.look(Side::kOutside, answer_to(query), kDatagram, 131).step.state, kNew);
  EXPECT_EQ(book.expire(131), 0U);
}

TEST(FlowBook, EstablishedTcpLivesFiveDays) {
  constexpr uint64_t kFiveDays = 5 * 24 * 3600;
  FlowTuple tuple = udp(4000, 443);
  tuple.protocol = protocol::kTcp;
  FlowBook book;
  book.pass(Side::kInside, tuple, book.look(Side::kInside, tuple, kSyn, 0), 1, 0);
  book.pass(Side::kOutside, answer_to(tuple), book.look(Side::kOutside, answer_to(tuple), kSynAck, 0), 0, 0);
  book.pass(Side::kInside, tuple, book.look(Side::kInside, tuple, kAck, 0), 1, 0);
  EXPECT_EQ(book.look(Side::kInside, tuple, kAck, kFiveDays + 15).step.state, kEst);
  EXPECT_EQ(book.look(Side::kInside, tuple, kAck, kFiveDays + 16).step.state, kInvalid);
}

TEST(FlowBook, EchoRequestsOfBothSidesWithOneIdAreTwoFlows) {
  FlowTuple ping = udp(0, 0);
  ping.protocol = protocol::kIcmp;
  ping.icmp_type = 8;
  ping.icmp_id = 77;
  FlowBook book;
  book.pass(Side::kInside, ping, book.look(Side::kInside, ping, kRequest, 0), 1, 0);
  EXPECT_EQ(book.look(Side::kOutside, answer_to(ping), kAnswer, 0).step.state, kEst);
  FlowTuple their_ping = answer_to(ping);
  their_ping.icmp_type = 8;
  EXPECT_EQ(book.look(Side::kOutside, their_ping, kRequest, 0).step.state, kNew);
}

}  // namespace
}  // namespace tails::flow_model
