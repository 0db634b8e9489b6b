#include "ruleset/evaluator.h"

#include <gtest/gtest.h>

namespace tails::ruleset {
namespace {

const IpAddress kExample = IpAddress::v4(192, 0, 2, 1);
const InterfaceName kEth0 = *InterfaceName::make("eth0");

Packet syn_to(const IpAddress& destination, Port port) {
  Packet packet;
  packet.source = destination.family == Family::kIpv4 ? IpAddress::v4(198, 51, 100, 7) : IpAddress::v6(1, 7);
  packet.destination = destination;
  packet.source_port = 40000;
  packet.destination_port = port;
  packet.tcp_flags = tcp_flag::kSyn;
  packet.out = kEth0;
  packet.uid = Uid{1000};
  packet.gid = Gid{1000};
  return packet;
}

Rule rule(Target target, std::vector<Match> matches = {}) {
  Rule r;
  r.matches = std::move(matches);
  r.target = std::move(target);
  return r;
}

OpaqueMatch opaque() { return {"bpf", 1, {}, "", true}; }

/// A rule set with one table, whose `chain` has `rules` and `policy`.
RuleSet with_rules(TableName table, std::string_view chain, ChainPolicy policy, std::vector<Rule> rules) {
  RuleSet set;
  set.tables.push_back(Table::open(Family::kIpv4, table));
  Chain* built_in = set.tables.back().find(chain);
  built_in->policy = policy;
  built_in->rules = std::move(rules);
  return set;
}

RuleSet output(ChainPolicy policy, std::vector<Rule> rules) {
  return with_rules(TableName::kFilter, "OUTPUT", policy, std::move(rules));
}

void add_chain(RuleSet& set, std::string name, std::vector<Rule> rules) {
  set.tables.front().chains.push_back({std::move(name), std::nullopt, std::move(rules), {}, kNoOrigin});
}

Verdict verdict(const RuleSet& set, const Packet& packet) { return Evaluator(set).evaluate(packet).verdict; }

TEST(Evaluator, AcceptsWhereNoTableIs) {
  const RuleSet nothing;
  EXPECT_EQ(verdict(nothing, syn_to(kExample, 80)), Verdict::kAccept);
  EXPECT_EQ(Evaluator(nothing).evaluate(syn_to(kExample, 80)).decided_by.origin(), kNoOrigin);
}

TEST(Evaluator, FirstMatchingRuleDecidesAndPolicyComesLast) {
  Rule only_80 = rule(Drop{}, {TcpMatch{{}, PortRange::one(80)}});
  only_80.header.protocol = protocol::kTcp;
  const RuleSet set = output(ChainPolicy::kAccept, {only_80, rule(Reject{})});
  const Evaluation first = Evaluator(set).evaluate(syn_to(kExample, 80));
  EXPECT_EQ(first.verdict, Verdict::kDrop);
  EXPECT_EQ(first.decided_by.rule, 0U);
  EXPECT_EQ(verdict(set, syn_to(kExample, 81)), Verdict::kReject);
  EXPECT_TRUE(Evaluator(output(ChainPolicy::kDrop, {})).evaluate(syn_to(kExample, 80)).decided_by.is_policy());
}

TEST(Evaluator, ReturnGoesToTheCallerAndInABuiltInChainToThePolicy) {
  RuleSet set = output(ChainPolicy::kDrop, {rule(Jump{"sub", false}), rule(Reject{})});
  add_chain(set, "sub", {rule(Return{}), rule(Accept{})});
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kReject);
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {rule(Return{}), rule(Accept{})}), syn_to(kExample, 80)),
            Verdict::kDrop);
}

TEST(Evaluator, GotoReturnsToTheCallersCaller) {
  RuleSet set = output(ChainPolicy::kDrop, {rule(Jump{"a", false}), rule(Reject{})});
  add_chain(set, "a", {rule(Jump{"b", true}), rule(Accept{})});
  add_chain(set, "b", {});
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kReject);
}

TEST(Evaluator, ChainLoopInATextGetsNowhere) {
  RuleSet set = output(ChainPolicy::kAccept, {rule(Jump{"a", false})});
  add_chain(set, "a", {rule(Jump{"a", false})});
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kDrop);
}

TEST(OwnerMatch, WithoutSocketMatchesOnlyWhenInverted) {
  Packet kernels_own = syn_to(kExample, 80);
  kernels_own.uid.reset();
  kernels_own.gid.reset();
  const RuleSet plain = output(ChainPolicy::kDrop, {rule(Accept{}, {OwnerMatch::is(Uid{1000})})});
  EXPECT_EQ(verdict(plain, syn_to(kExample, 80)), Verdict::kAccept);
  EXPECT_EQ(verdict(plain, kernels_own), Verdict::kDrop);

  OwnerMatch not_1000;
  not_1000.uid = OwnerMatch::Range{1000, 1000, true};
  const RuleSet inverted = output(ChainPolicy::kDrop, {rule(Accept{}, {not_1000})});
  EXPECT_EQ(verdict(inverted, syn_to(kExample, 80)), Verdict::kDrop);
  EXPECT_EQ(verdict(inverted, kernels_own), Verdict::kAccept);
}

TEST(OwnerMatch, SocketExistsTellsKernelPacketsApart) {
  Packet kernels_own = syn_to(kExample, 80);
  kernels_own.uid.reset();
  OwnerMatch has_socket;
  has_socket.socket_exists = true;
  OwnerMatch no_socket;
  no_socket.socket_exists = false;
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {rule(Accept{}, {has_socket})}), kernels_own), Verdict::kDrop);
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {rule(Accept{}, {no_socket})}), kernels_own), Verdict::kAccept);
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {rule(Accept{}, {no_socket})}), syn_to(kExample, 80)), Verdict::kDrop);
}

RuleSet redirecting_to_9040(Rule filter_rule) {
  RuleSet set = output(ChainPolicy::kDrop, {std::move(filter_rule)});
  Table nat = Table::open(Family::kIpv4, TableName::kNat);
  Rule redirect = rule(Redirect{PortRange::one(9040), false});
  redirect.header.destination = AddressTest::in(*Prefix::parse("127.192.0.0/10"));
  nat.find("OUTPUT")->rules.push_back(redirect);
  set.tables.push_back(nat);
  return set;
}

TEST(Nat, FilterSeesTheRedirectedDestinationAndTheOriginalInterface) {
  Rule accept = rule(Accept{}, {TcpMatch{{}, PortRange::one(9040)}});
  accept.header.protocol = protocol::kTcp;
  accept.header.destination = AddressTest::in(Prefix::host(kLoopbackV4));
  accept.header.out = InterfaceTest::is(kEth0);
  const RuleSet set = redirecting_to_9040(accept);
  const Evaluation e = Evaluator(set).evaluate(syn_to(IpAddress::v4(127, 200, 0, 1), 80));
  EXPECT_EQ(e.verdict, Verdict::kAccept);
  EXPECT_EQ(e.redirected_to, (Endpoint{kLoopbackV4, 9040}));
}

TEST(Nat, IsAskedOnlyForPacketsThatOpenAFlow) {
  Rule accept = rule(Accept{});
  accept.header.destination = AddressTest::in(Prefix::host(kLoopbackV4));
  const RuleSet set = redirecting_to_9040(accept);
  Packet known = syn_to(IpAddress::v4(127, 200, 0, 1), 80);
  known.state = ConnState::kEstablished;
  EXPECT_EQ(verdict(set, known), Verdict::kDrop);
  known.recorded_nat = Endpoint{kLoopbackV4, 9040};
  EXPECT_EQ(verdict(set, known), Verdict::kAccept);
  known.direction = Direction::kReply;
  EXPECT_EQ(verdict(set, known), Verdict::kDrop);
}

TEST(Opaque, BeforeTheSameVerdictChangesNothing) {
  const RuleSet set = output(ChainPolicy::kDrop, {rule(Drop{}, {opaque()})});
  const Evaluation e = Evaluator(set).evaluate(syn_to(kExample, 80));
  EXPECT_EQ(e.verdict, Verdict::kDrop);
  EXPECT_FALSE(e.depends_on);
}

TEST(Opaque, BeforeAnotherVerdictIsUnknownAndNamed) {
  const RuleSet set = output(ChainPolicy::kDrop, {rule(Accept{}, {opaque()})});
  const Evaluation e = Evaluator(set).evaluate(syn_to(kExample, 80));
  EXPECT_EQ(e.verdict, Verdict::kUnknown);
  ASSERT_TRUE(e.depends_on);
  EXPECT_EQ(e.depends_on->rule, 0U);
}

TEST(Opaque, BehindAMatchThatFailsIsNeverAsked) {
  Rule udp_only = rule(Accept{}, {opaque()});
  udp_only.header.protocol = protocol::kUdp;
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {udp_only}), syn_to(kExample, 80)), Verdict::kDrop);
}

TEST(Opaque, JumpFollowsBothWays) {
  RuleSet set = output(ChainPolicy::kDrop, {rule(Jump{"sub", false}, {opaque()}), rule(Reject{})});
  add_chain(set, "sub", {rule(Accept{})});
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kUnknown);
  set.tables.front().find("sub")->rules = {rule(Return{})};
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kReject);
}

TEST(Opaque, TargetMayDoAnything) {
  EXPECT_EQ(verdict(output(ChainPolicy::kAccept, {rule(OpaqueTarget{"TEE", 1, {}, ""})}), syn_to(kExample, 80)),
            Verdict::kUnknown);
}

TEST(Opaque, NatFollowsBothDestinations) {
  Rule to_loopback = rule(Accept{});
  to_loopback.header.destination = AddressTest::in(kLoopbackNetV4);
  RuleSet set = redirecting_to_9040(to_loopback);
  set.tables.back().find("OUTPUT")->rules = {rule(Redirect{PortRange::one(9040), false}, {opaque()})};
  const Evaluation e = Evaluator(set).evaluate(syn_to(kExample, 80));
  EXPECT_EQ(e.verdict, Verdict::kUnknown);
  EXPECT_FALSE(e.redirected_to);
  EXPECT_EQ(verdict(set, syn_to(IpAddress::v4(127, 1, 1, 1), 80)), Verdict::kAccept);
}

TEST(Logging, CountsCertainlyAndPerhaps) {
  const auto logged = [](std::vector<Match> matches) {
    const RuleSet set = output(ChainPolicy::kDrop, {rule(Log{}, std::move(matches))});
    return Evaluator(set).evaluate(syn_to(kExample, 80)).logged;
  };
  EXPECT_EQ(logged({}), Tristate::kYes);
  EXPECT_EQ(logged({LimitMatch{500, 100}}), Tristate::kUnknown);
  EXPECT_EQ(logged({OwnerMatch::is(Uid{7})}), Tristate::kNo);
}

TEST(Marks, SetInMangleAreSeenInFilterUnlessTheRuleIsUnreadable) {
  RuleSet set = output(ChainPolicy::kDrop, {rule(Accept{}, {MarkMatch{5, 0xFF, false}})});
  Table mangle = Table::open(Family::kIpv4, TableName::kMangle);
  mangle.find("OUTPUT")->rules = {rule(SetMark{5, 0xFF})};
  set.tables.push_back(mangle);
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kAccept);
  set.tables.back().find("OUTPUT")->rules = {rule(SetMark{5, 0xFF}, {opaque()})};
  EXPECT_EQ(verdict(set, syn_to(kExample, 80)), Verdict::kUnknown);
}

TEST(ConntrackMatch, StopsAtTheStateForAPacketWithoutFlow) {
  ConntrackMatch reply_or_invalid;
  reply_or_invalid.state_mask = static_cast<uint16_t>(ConnState::kInvalid);
  reply_or_invalid.direction = Direction::kReply;
  Packet invalid = syn_to(kExample, 80);
  invalid.state = ConnState::kInvalid;
  // conntrack_mt returns true once the state matched and there is no flow to ask for its direction.
  EXPECT_EQ(verdict(output(ChainPolicy::kDrop, {rule(Accept{}, {reply_or_invalid})}), invalid), Verdict::kAccept);
}

TEST(ConntrackMatch, DirectionAndStatusAreTested) {
  ConntrackMatch reply;
  reply.direction = Direction::kReply;
  const RuleSet set = output(ChainPolicy::kDrop, {rule(Accept{}, {reply})});
  Packet packet = syn_to(kExample, 80);
  packet.state = ConnState::kEstablished;
  EXPECT_EQ(verdict(set, packet), Verdict::kDrop);
  packet.direction = Direction::kReply;
  EXPECT_EQ(verdict(set, packet), Verdict::kAccept);

  ConntrackMatch assured;
  assured.status_mask = 4;
  const RuleSet by_status = output(ChainPolicy::kDrop, {rule(Accept{}, {assured})});
  EXPECT_EQ(verdict(by_status, packet), Verdict::kDrop);
  packet.status = 4;
  EXPECT_EQ(verdict(by_status, packet), Verdict::kAccept);
}

TEST(Families, DoNotMix) {
  const RuleSet set = output(ChainPolicy::kDrop, {});
  EXPECT_EQ(verdict(set, syn_to(IpAddress::v6(0x20010db800000000, 1), 80)), Verdict::kAccept);
}

TEST(Forward, VisitsFilterForwardOnly) {
  const RuleSet set = with_rules(TableName::kFilter, "FORWARD", ChainPolicy::kDrop, {});
  Packet packet = syn_to(kExample, 80);
  packet.hook = Hook::kForward;
  packet.in = kEth0;
  EXPECT_EQ(verdict(set, packet), Verdict::kDrop);
  packet.hook = Hook::kInput;
  EXPECT_EQ(verdict(set, packet), Verdict::kAccept);
}

TEST(Explain, NamesEveryRuleThatMatched) {
  RuleSet set = output(ChainPolicy::kDrop, {rule(Continue{}), rule(Jump{"sub", false})});
  add_chain(set, "sub", {rule(Log{}), rule(Reject{})});
  const Evaluation e = Evaluator(set).explain(syn_to(kExample, 80));
  ASSERT_EQ(e.steps.size(), 4U);
  EXPECT_EQ(e.steps[3].rule, e.decided_by);
  EXPECT_TRUE(e.steps[3].certain);
}

TEST(Evaluator, AFlowsMarkIsNeitherSetNorRestoredWithoutAFlow) {
  SetConnmark restore;
  restore.mode = SetConnmark::Mode::kRestore;
  const RuleSet set = output(ChainPolicy::kDrop, {rule(restore), rule(Accept{}, {MarkMatch{7, 0xFFFFFFFF, false}})});
  Packet packet = syn_to(kExample, 80);
  packet.mark = Mark{7};
  packet.state = ConnState::kInvalid;
  EXPECT_EQ(verdict(set, packet), Verdict::kAccept);
  packet.state = ConnState::kNew;
  EXPECT_EQ(verdict(set, packet), Verdict::kDrop);
}

TEST(Evaluator, NobodyKnowsWhichAddressOfARangeNatTakes) {
  Dnat dnat;
  dnat.first = IpAddress::v4(192, 0, 2, 10);
  dnat.last = IpAddress::v4(192, 0, 2, 20);
  RuleSet set = with_rules(TableName::kNat, "OUTPUT", ChainPolicy::kAccept, {rule(dnat)});
  set.tables.push_back(output(ChainPolicy::kDrop, {}).tables.front());
  Rule to_the_first = rule(Accept{});
  to_the_first.header.destination = AddressTest::in(Prefix::host(*dnat.first));
  set.tables.back().find("OUTPUT")->rules.push_back(to_the_first);
  const Evaluation evaluation = Evaluator(set).evaluate(syn_to(kExample, 80));
  EXPECT_EQ(evaluation.verdict, Verdict::kUnknown);
  EXPECT_EQ(evaluation.redirected_to, std::nullopt);
  EXPECT_EQ(evaluation.depends_on->rule, 0U);
  EXPECT_EQ(evaluation.depends_on->table->name, TableName::kNat);
}

}  // namespace
}  // namespace tails::ruleset
