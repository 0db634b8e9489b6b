#include "conntrack/judge.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include <random>

#include "policy/decide.h"
#include "policy/lower.h"
#include "policy/read.h"
#include "tests/conntrack/addresses.h"
#include "tests/conntrack/fake_routing.h"
#include "tests/policy/fixed_environment.h"

namespace tails::conntrack {
namespace {

constexpr Uid kAmnesia{1000};
constexpr Uid kTor{107};
constexpr Uid kClearnet{110};
constexpr Uid kApt{42};

constexpr IpAddress kOldHost = IpAddress::v4(192, 0, 2, 66);
constexpr IpAddress kLan = IpAddress::v4(192, 168, 50, 1);
constexpr IpAddress kAutomap = IpAddress::v4(127, 192, 0, 5);
constexpr IpAddress kClearnetGuest = IpAddress::v4(10, 200, 1, 18);
constexpr IpAddress kTbbHost = IpAddress::v4(10, 200, 1, 1);
constexpr IpAddress kTbbGuest = IpAddress::v4(10, 200, 1, 2);

FlowTuple turned(const FlowTuple& tuple) {
  FlowTuple answer = tuple;
  std::swap(answer.source, answer.destination);
  return answer;
}

Flow flow_of(uint8_t protocol, Endpoint from, Endpoint to) {
  Flow flow;
  flow.original = {protocol, from, to, 0, 0, 0};
  flow.reply = turned(flow.original);
  flow.status = 2 | 8;
  return flow;
}
Flow tcp(Endpoint from, Endpoint to) { return flow_of(protocol::kTcp, from, to); }
Flow udp(Endpoint from, Endpoint to) { return flow_of(protocol::kUdp, from, to); }
Flow redirected(Flow flow, Endpoint to) {
  flow.reply.source = to;
  return flow;
}
Flow masqueraded(Flow flow, IpAddress as) {
  flow.reply.destination.address = as;
  return flow;
}

Socket socket_of(const Flow& flow, Uid uid) {
  Socket socket;
  socket.protocol = flow.original.protocol;
  socket.local = flow.original.source;
  socket.remote = flow.original.destination;
  socket.uid = uid;
  socket.state = TCP_ESTABLISHED;
  return socket;
}
Socket unconnected_udp(Endpoint at, Uid uid) {
  Socket socket;
  socket.protocol = protocol::kUdp;
  socket.local = at;
  socket.uid = uid;
  return socket;
}

/// The profile `tails` on a machine with one uplink and two guests.
class TailsJudge : public ::testing::Test {
 protected:
  TailsJudge() {
    tails::testing::FixedEnvironment environment;
    environment.users = tails::testing::profile_users();
    auto loaded = policy::load("tails", environment);
    policy_ = loaded->policy;
    rules_ = policy::lower(policy_);
    routing_.add("0.0.0.0/0", "eth0")
        .add("127.0.0.0/8", "")
        .add("::1/128", "")
        .add("192.0.2.10/32", "")
        .add("10.200.1.1/32", "")
        .add("10.200.1.17/32", "")
        .add("10.200.1.0/30", "veth-tbb")
        .add("10.200.1.16/30", "veth-clearnet")
        .add("192.0.2.255/32", "eth0", AddressType::kBroadcast)
        .add("224.0.0.0/4", "eth0", AddressType::kMulticast)
        .forward_from("veth-clearnet")
        .forward_from("eth0");
  }

  Opinion opinion(const Flow& flow, std::vector<Socket> sockets) {
    Judge judge(rules_, routing_);
    return judge.judge(flow, SocketTable(std::move(sockets)));
  }
  Judgement as(Uid owner, const Flow& flow) { return opinion(flow, {socket_of(flow, owner)}).judgement; }

  policy::Policy policy_;
  ruleset::RuleSet rules_;
  tails::testing::FakeRouting routing_;
};

using enum Judgement;

TEST_F(TailsJudge, AllowsWhatItsOwnerMayOpenAndRevokesItForOthers) {
  const Flow web = tcp({kHost, 40000}, {kInternet, 443});
  EXPECT_EQ(as(kTor, web), kAllowed);
  EXPECT_EQ(as(kClearnet, web), kAllowed);
  EXPECT_EQ(as(kAmnesia, web), kRevoked);
  EXPECT_EQ(as(Uid{0}, web), kRevoked);

  const Flow socks = tcp({kLoopbackV4, 40000}, {kLoopbackV4, 9050});
  EXPECT_EQ(as(kApt, socks), kAllowed);
  EXPECT_EQ(as(kAmnesia, socks), kAllowed);
  EXPECT_EQ(as(kTor, socks), kRevoked);

  const Flow dns = udp({kHost, 40000}, {kInternet, 53});
  EXPECT_EQ(as(kTor, dns), kAllowed);
  EXPECT_EQ(as(kAmnesia, dns), kRevoked);
}

TEST_F(TailsJudge, ReportsOwnerHookAndThatItLives) {
  const Flow web = tcp({kHost, 40000}, {kInternet, 443});
  const Opinion tor = opinion(web, {socket_of(web, kTor)});
  EXPECT_EQ(tor.owner, kTor);
  EXPECT_EQ(tor.hook, Hook::kOutput);
  EXPECT_FALSE(tor.is_dead);
  EXPECT_FALSE(tor.is_forbidden());
}

TEST_F(TailsJudge, DoesNotKnowAFlowWhoseOwnerIsGoneUnlessTheAnswerIsTheSameForAll) {
  const Opinion web = opinion(tcp({kHost, 40000}, {kInternet, 443}), {});
  EXPECT_EQ(web.judgement, kUnknown);
  EXPECT_TRUE(web.is_forbidden());
  EXPECT_EQ(web.owner, std::nullopt);
  // The LAN is open to everyone, and NetBIOS closed to everyone.
  EXPECT_EQ(opinion(tcp({kHost, 40000}, {kLan, 80}), {}).judgement, kAllowed);
  EXPECT_EQ(opinion(udp({kHost, 40000}, {kLan, 137}), {}).judgement, kRevoked);
}

TEST_F(TailsJudge, TakesASocketWhoseUserTheKernelForgotForNoOwner) {
  const Flow web = tcp({kHost, 40000}, {kInternet, 443});
  Socket orphan = socket_of(web, kTor);
  orphan.uid.reset();
  EXPECT_EQ(opinion(web, {orphan}).judgement, kUnknown);
}

TEST_F(TailsJudge, SeesThatAnotherUserTookOverTheSourcePortOfAUdpFlow) {
  const Flow dns = udp({kHost, 40000}, {kInternet, 53});
  EXPECT_EQ(opinion(dns, {unconnected_udp({IpAddress::v4(0), 40000}, kTor)}).judgement, kAllowed);
  const Opinion taken = opinion(dns, {unconnected_udp({IpAddress::v4(0), 40000}, kAmnesia)});
  EXPECT_EQ(taken.judgement, kRevoked);
  EXPECT_EQ(taken.owner, kAmnesia);
  // Both hold the port (SO_REUSEPORT): one of them may not.
  EXPECT_EQ(opinion(dns, {unconnected_udp({kHost, 40000}, kTor), unconnected_udp({kHost, 40000}, kAmnesia)}).judgement,
            kRevoked);
  // The flow's own connected socket counts more than a neighbour at the port.
  EXPECT_EQ(opinion(dns, {socket_of(dns, kTor), unconnected_udp({kHost, 40000}, kAmnesia)}).judgement, kAllowed);
}

TEST_F(TailsJudge, FindsTheOwnerBehindASocketOfBothFamilies) {
  const Flow dns = udp({kHost, 40000}, {kInternet, 53});
  Socket any = unconnected_udp({IpAddress::v6(0, 0), 40000}, kTor);
  EXPECT_EQ(opinion(dns, {any}).judgement, kUnknown);
  any.takes_ipv4 = true;
  EXPECT_EQ(opinion(dns, {any}).judgement, kAllowed);
}

TEST_F(TailsJudge, JudgesARedirectedFlowByWhereItWasSent) {
  const Flow automap = redirected(tcp({kLoopbackV4, 40000}, {kAutomap, 80}), {kLoopbackV4, 9040});
  EXPECT_EQ(as(kAmnesia, automap), kAllowed);
  EXPECT_EQ(as(kTor, automap), kRevoked);
  EXPECT_EQ(as(kApt, automap), kRevoked);
  const Flow dns = redirected(udp({kLoopbackV4, 40000}, {kLoopbackV4, 53}), {kLoopbackV4, 5353});
  EXPECT_EQ(as(kAmnesia, dns), kAllowed);
  EXPECT_EQ(as(kApt, dns), kRevoked);
}

TEST_F(TailsJudge, RevokesWhatTheRulesWouldNowSendElsewhere) {
  // Opened before the redirect was there: it still goes to whatever listens on port 53.
  EXPECT_EQ(as(kAmnesia, udp({kLoopbackV4, 40000}, {kLoopbackV4, 53})), kRevoked);
  // Redirected by rules that are gone, or to another place.
  EXPECT_EQ(as(kAmnesia, redirected(udp({kLoopbackV4, 40000}, {kLoopbackV4, 53}), {kLoopbackV4, 5300})), kRevoked);
  EXPECT_EQ(as(kTor, redirected(tcp({kHost, 40000}, {kInternet, 80}), {kInternet, 8080})), kRevoked);
}

TEST_F(TailsJudge, JudgesForwardedFlowsByForward) {
  const Flow out = masqueraded(tcp({kClearnetGuest, 40000}, {kInternet, 443}), kHost);
  EXPECT_EQ(opinion(out, {}).judgement, kAllowed);
  EXPECT_EQ(opinion(out, {}).hook, Hook::kForward);
  const Flow other_guest = masqueraded(tcp({kTbbGuest, 40000}, {kInternet, 443}), kHost);
  EXPECT_EQ(opinion(other_guest, {}).judgement, kRevoked);
  EXPECT_EQ(opinion(tcp({kClearnetGuest, 40000}, {kTbbGuest, 9050}), {}).judgement, kRevoked);
  // A local socket that happens to use the port says nothing of it.
  EXPECT_EQ(
      opinion(udp({kClearnetGuest, 40000}, {kInternet, 443}), {unconnected_udp({IpAddress::v4(0), 40000}, kAmnesia)})
          .judgement,
      kAllowed);
}

TEST_F(TailsJudge, JudgesInboundFlowsByInput) {
  const Flow guest = tcp({kTbbGuest, 40000}, {kTbbHost, 9050});
  EXPECT_EQ(opinion(guest, {}).judgement, kAllowed);
  EXPECT_EQ(opinion(guest, {}).hook, Hook::kInput);
  EXPECT_EQ(opinion(guest, {}).owner, std::nullopt);
  EXPECT_EQ(opinion(tcp({kTbbGuest, 40000}, {kTbbHost, 9052}), {}).judgement, kRevoked);
  EXPECT_EQ(opinion(tcp({kLan, 40000}, {kHost, 22}), {}).judgement, kRevoked);
  EXPECT_EQ(opinion(udp({kLan, 5353}, {IpAddress::v4(224, 0, 0, 251), 5353}), {}).hook, Hook::kInput);
  EXPECT_EQ(opinion(udp({kLan, 138}, {IpAddress::v4(192, 0, 2, 255), 138}), {}).hook, Hook::kInput);
}

TEST_F(TailsJudge, CallsDeadWhatBelongsToAnAddressThatIsGone) {
  EXPECT_TRUE(opinion(tcp({kOldHost, 40000}, {kInternet, 443}), {}).is_dead);
  EXPECT_TRUE(opinion(tcp({kInternet, 40000}, {kOldHost, 22}), {}).is_dead);
  EXPECT_TRUE(opinion(masqueraded(tcp({kClearnetGuest, 40000}, {kInternet, 443}), kOldHost), {}).is_dead);
  // Its network led elsewhere then; nothing is forwarded from a guest that may not.
  EXPECT_TRUE(opinion(tcp({kTbbGuest, 40000}, {kInternet, 443}), {}).is_dead);

  EXPECT_FALSE(opinion(tcp({kHost, 40000}, {kInternet, 443}), {}).is_dead);
  EXPECT_FALSE(opinion(masqueraded(tcp({kClearnetGuest, 40000}, {kInternet, 443}), kHost), {}).is_dead);
  EXPECT_FALSE(opinion(tcp({kInternet, 40000}, {kHost, 22}), {}).is_dead);
  EXPECT_FALSE(opinion(tcp({kLoopbackV4, 40000}, {kLoopbackV4, 9050}), {}).is_dead);
  EXPECT_FALSE(opinion(udp({IpAddress::v4(0), 68}, {IpAddress::v4(0xFFFFFFFF), 67}), {}).is_dead);
}

TEST_F(TailsJudge, GoesByTheInterfaceThatTheSocketIsBoundTo) {
  const Flow loop = tcp({kLoopbackV4, 40000}, {kLoopbackV4, 9050});
  Socket bound = socket_of(loop, kAmnesia);
  EXPECT_EQ(opinion(loop, {bound}).judgement, kAllowed);
  bound.bound_interface = 3;  // 127/8 out of a real interface
  EXPECT_EQ(opinion(loop, {bound}).judgement, kRevoked);
}

TEST_F(TailsJudge, RevokesAllIpv6ButTheServicesOnItsLoopback) {
  const Flow service = tcp({kLoopbackV6, 40000}, {kLoopbackV6, 4101});
  EXPECT_EQ(as(kAmnesia, service), kAllowed);
  EXPECT_EQ(as(kTor, service), kRevoked);
  const IpAddress host6 = IpAddress::v6(0x20010DB800000000, 1);
  routing_.add("2001:db8::1/128", "");
  EXPECT_EQ(as(kTor, tcp({host6, 40000}, {IpAddress::v6(0x20010DB800010000, 7), 443})), kRevoked);
}

TEST_F(TailsJudge, GivesTheSameAnswerFromMemory) {
  std::mt19937 engine(5);  // NOLINT(cert-msc51-cpp): the same flows in every run.
  const auto pick = [&](const auto& list) { return list[engine() % list.size()]; };
  const std::vector<IpAddress> addresses = {kHost,    kOldHost,       kInternet, kLan,       kAutomap,
                                            kTbbHost, kClearnetGuest, kTbbGuest, kLoopbackV4};
  const std::vector<Port> ports = {53, 80, 443, 951, 5353, 9040, 9050, 9063, 40000};
  const std::vector<Uid> users = {kAmnesia, kTor, kClearnet, kApt, Uid{0}, Uid{4711}};
  Judge remembering(rules_, routing_);
  int allowed = 0;
  for (int i = 0; i < 4000; ++i) {
    Flow flow = flow_of(engine() % 2 == 0 ? protocol::kTcp : protocol::kUdp, {pick(addresses), pick(ports)},
                        {pick(addresses), pick(ports)});
    if (engine() % 3 == 0) flow.reply.source = {pick(addresses), pick(ports)};
    if (engine() % 4 == 0) flow.reply.destination.address = pick(addresses);
    std::vector<Socket> sockets;
    if (engine() % 4 != 0) sockets.push_back(socket_of(flow, pick(users)));
    const SocketTable table(sockets);
    Judge fresh(rules_, routing_);
    const Opinion expected = fresh.judge(flow, table);
    const Opinion remembered = remembering.judge(flow, table);
    ASSERT_EQ(remembered.judgement, expected.judgement) << i;
    ASSERT_EQ(remembered.hook, expected.hook) << i;
    ASSERT_EQ(remembered.is_dead, expected.is_dead) << i;
    if (expected.judgement == kAllowed) ++allowed;
  }
  EXPECT_GT(allowed, 100);
}

TEST_F(TailsJudge, AgreesWithThePolicyOnEveryFlowThatItsOwnerOpensFromHere) {
  std::mt19937 engine(6);  // NOLINT(cert-msc51-cpp)
  const auto pick = [&](const auto& list) { return list[engine() % list.size()]; };
  const std::vector<IpAddress> ours = {kHost, kTbbHost, kLoopbackV4};
  const std::vector<IpAddress> theirs = {kInternet, kLan, kAutomap, kClearnetGuest, kTbbGuest, kLoopbackV4, kTbbHost};
  const std::vector<Port> ports = {53, 80, 137, 443, 951, 5353, 9040, 9050, 9052, 9062, 9063, 40000};
  const std::vector<Uid> users = {kAmnesia, kTor, kClearnet, kApt, Uid{0}, Uid{111}, Uid{4711}};
  Judge judge(rules_, routing_);
  int allowed = 0;
  for (int i = 0; i < 4000; ++i) {
    Flow flow =
        flow_of(engine() % 2 == 0 ? protocol::kTcp : protocol::kUdp, {pick(ours), 50000}, {pick(theirs), pick(ports)});
    const Uid owner = pick(users);
    Packet packet;
    packet.protocol = flow.original.protocol;
    packet.source = flow.original.source.address;
    packet.destination = flow.original.destination.address;
    packet.source_port = 50000;
    packet.destination_port = flow.original.destination.port;
    packet.tcp_flags = packet.protocol == protocol::kTcp ? tcp_flag::kSyn : uint8_t{0};
    packet.uid = owner;
    packet.gid = Gid{owner.value};
    packet.out = routing_.route(packet.destination, packet.source, owner, 0).interface;
    const policy::Decision decision = policy::decide(policy_, packet);
    if (decision.redirected_to) flow.reply.source = *decision.redirected_to;
    const Judgement expected = decision.verdict == Verdict::kAccept ? kAllowed : kRevoked;
    ASSERT_EQ(judge.judge(flow, SocketTable({socket_of(flow, owner)})).judgement, expected) << i;
    if (expected == kAllowed) ++allowed;
  }
  EXPECT_GT(allowed, 100);
}

TEST_F(TailsJudge, AsksForARouteOncePerClassAndNotPerFlow) {
  Judge judge(rules_, routing_);
  const SocketTable nobody;
  for (uint32_t i = 0; i < 10000; ++i) {
    (void)judge.judge(
        tcp({kHost, static_cast<Port>(1024 + i % 50000)}, {IpAddress::v4(kInternet.v4_bits() + i % 50), 443}), nobody);
  }
  EXPECT_EQ(routing_.questions, 1);
}

TEST_F(TailsJudge, TellsThePacketThatItAskedTheRulesAbout) {
  const Judge judge(rules_, routing_);
  const Packet sent = judge.question(tcp({kHost, 40000}, {kInternet, 443}), kAmnesia);
  EXPECT_EQ(sent.hook, Hook::kOutput);
  EXPECT_EQ(sent.uid, kAmnesia);
  EXPECT_EQ(sent.out.view(), "eth0");
  EXPECT_TRUE(sent.is_tcp_syn());
  const Packet passing = judge.question(tcp({kClearnetGuest, 40000}, {kInternet, 443}), std::nullopt);
  EXPECT_EQ(passing.hook, Hook::kForward);
  EXPECT_EQ(passing.in.view(), "veth-clearnet");
  EXPECT_EQ(passing.out.view(), "eth0");
}

TEST_F(TailsJudge, CallsASocketWithoutAFlowCutOffWhereOnlyASynOpensOne) {
  const Judge judge(rules_, routing_);
  const Flow web = tcp({kHost, 40000}, {kInternet, 443});
  EXPECT_TRUE(judge.is_cut_off(socket_of(web, kAmnesia)));
  // Also one that may open another: this one is over.
  EXPECT_TRUE(judge.is_cut_off(socket_of(web, kTor)));
  const ruleset::RuleSet open;
  EXPECT_FALSE(Judge(open, routing_).is_cut_off(socket_of(web, kAmnesia)));
}

// ---- rule sets that are not ours ----

ruleset::RuleSet rules_of(ruleset::Table table) {
  ruleset::RuleSet rules;
  rules.tables.push_back(std::move(table));
  return rules;
}

ruleset::Table closed_filter() {
  auto filter = ruleset::Table::open(Family::kIpv4, ruleset::TableName::kFilter);
  for (auto& chain : filter.chains) chain.policy = ruleset::ChainPolicy::kDrop;
  return filter;
}

Judgement judged(const ruleset::RuleSet& rules, const Flow& flow, std::vector<Socket> sockets = {}) {
  tails::testing::FakeRouting routing;
  routing.add("0.0.0.0/0", "eth0").add("127.0.0.0/8", "").add("192.0.2.10/32", "");
  Judge judge(rules, routing);
  return judge.judge(flow, SocketTable(std::move(sockets))).judgement;
}

TEST(ForeignRules, OpenOnesAllowEverything) { EXPECT_EQ(judged({}, tcp({kHost, 40000}, {kInternet, 443})), kAllowed); }

TEST(ForeignRules, EstablishedAloneIsNoGrant) {
  auto filter = closed_filter();
  ruleset::Rule rule;
  rule.matches.push_back(ruleset::StateMatch{ConnState::kEstablished, false});
  rule.target = ruleset::Accept{};
  filter.find("OUTPUT")->rules.push_back(rule);
  EXPECT_EQ(judged(rules_of(filter), tcp({kHost, 40000}, {kInternet, 443})), kRevoked);
}

TEST(ForeignRules, WhatAHelperExpectedIsRelatedAndNotNew) {
  ruleset::Table filter = ruleset::Table::open(Family::kIpv4, ruleset::TableName::kFilter);
  filter.find("OUTPUT")->policy = ruleset::ChainPolicy::kDrop;
  ruleset::Rule rule;
  rule.matches = {ruleset::StateMatch{ConnState::kRelated, false}};
  rule.target = ruleset::Accept{};
  filter.find("OUTPUT")->rules.push_back(rule);
  Flow data = tcp({kHost, 40000}, {kInternet, 20});
  EXPECT_EQ(judged(rules_of(filter), data), kRevoked);
  data.status |= 1;  // IPS_EXPECTED
  EXPECT_EQ(judged(rules_of(filter), data), kAllowed);
}

TEST(Judgement, IsAWordForPeople) {
  EXPECT_EQ(to_string(kAllowed), "allowed");
  EXPECT_EQ(to_string(kRevoked), "revoked");
  EXPECT_EQ(to_string(kUnknown), "unknown");
}

TEST(ForeignRules, WhatCannotBeReadMakesUnknown) {
  auto filter = closed_filter();
  ruleset::Rule rule;
  rule.matches.push_back(ruleset::OpaqueMatch{"bpf", 1, {}, "", false});
  rule.target = ruleset::Accept{};
  filter.find("OUTPUT")->rules.push_back(rule);
  EXPECT_EQ(judged(rules_of(filter), tcp({kHost, 40000}, {kInternet, 443})), kUnknown);
}

TEST(ForeignRules, AGroupThatNobodyKnowsMakesUnknown) {
  auto filter = closed_filter();
  ruleset::Rule rule;
  ruleset::OwnerMatch owner;
  owner.gid = {5, 5, false};
  rule.matches.push_back(owner);
  rule.target = ruleset::Accept{};
  filter.find("OUTPUT")->rules.push_back(rule);
  const Flow web = tcp({kHost, 40000}, {kInternet, 443});
  EXPECT_EQ(judged(rules_of(filter), web, {socket_of(web, kTor)}), kUnknown);
}

TEST(ForeignRules, MasksWithHolesAndMarksOfFlowsAreFollowed) {
  auto filter = closed_filter();
  ruleset::Rule even;
  even.header.destination = {IpAddress::v4(0), IpAddress::v4(1), false};
  even.matches.push_back(ruleset::ConnmarkMatch{7, 0xFF, false});
  even.target = ruleset::Accept{};
  filter.find("OUTPUT")->rules.push_back(even);
  const ruleset::RuleSet rules = rules_of(filter);
  tails::testing::FakeRouting routing;
  routing.add("0.0.0.0/0", "eth0").add("192.0.2.10/32", "");
  Judge judge(rules, routing);
  const SocketTable nobody;
  Flow flow = tcp({kHost, 40000}, {IpAddress::v4(198, 51, 100, 8), 443});
  flow.mark = Mark{0x107};
  EXPECT_EQ(judge.judge(flow, nobody).judgement, kAllowed);
  flow.mark = Mark{8};
  EXPECT_EQ(judge.judge(flow, nobody).judgement, kRevoked);
  flow = tcp({kHost, 40000}, {IpAddress::v4(198, 51, 100, 9), 443});
  flow.mark = Mark{7};
  EXPECT_EQ(judge.judge(flow, nobody).judgement, kRevoked);
}

TEST(ForeignRules, ARedirectToARangeOfPortsAllowsWhateverOfItTheFlowGot) {
  auto nat = ruleset::Table::open(Family::kIpv4, ruleset::TableName::kNat);
  ruleset::Rule rule;
  rule.header.protocol = protocol::kTcp;
  rule.target = ruleset::Redirect{PortRange{9040, 9049}, false};
  nat.find("OUTPUT")->rules.push_back(rule);
  EXPECT_EQ(judged(rules_of(nat), redirected(tcp({kHost, 40000}, {kInternet, 80}), {kLoopbackV4, 9044})), kAllowed);
}

}  // namespace
}  // namespace tails::conntrack
