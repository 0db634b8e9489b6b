// Every structure says of every packet what the evaluator says of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "fastpath/cost_model.h"
#include "fastpath/wire_rules.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_reader.h"
#include "tests/policy/dice.h"
#include "tests/policy/generators.h"
#ifdef TAILS_HAS_DPDK
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#endif

namespace tails::fastpath {
namespace {

using testing::Dice;
using Structure = Classifier::Structure;

#ifdef TAILS_HAS_DPDK
constexpr size_t kAcl = 1;
/// rte_acl, in an environment without devices, huge pages or files.
std::unique_ptr<Classifier> acl_of(const Way& way) {
  static const auto eal = dpdk::Eal::start({"--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "1024",
                                            "-l", "0", "--log-level=error", "--file-prefix", "tails-iptc-test"});
  return eal ? dpdk::make_acl(way) : nullptr;
}
#else
constexpr size_t kAcl = 0;
std::unique_ptr<Classifier> acl_of(const Way&) { return nullptr; }
#endif

/// A packet as the wire shows it, with what tag and flow table say.
struct WirePacket {
  Side from = Side::kInside;
  uint8_t owner = 0;
  Packet seen;
};

/// Says what a packet's fate is by heads and a classifier, for both directions.
class Compiled {
 public:
  Compiled(const ruleset::RuleSet& rules, const WireView& view, Structure structure) : wire_(*compile(rules, view)) {
    for (const Way& way : wire_.ways) classifiers_.push_back(make_classifier(way, structure, acl_of));
  }

  [[nodiscard]] bool is_possible() const {
    return std::ranges::all_of(classifiers_, [](const auto& c) { return c != nullptr; });
  }

  void judge(const std::vector<WirePacket>& packets, std::vector<WireVerdict>& verdicts) const {
    verdicts.resize(packets.size());
    for (const Side from : {Side::kInside, Side::kOutside}) {
      Questions questions;
      size_t asked[kBurst];
      const auto ask = [&] {
        VerdictId ids[kBurst];
        classifiers_[static_cast<size_t>(from)]->classify(questions, ids);
        for (unsigned i = 0; i < questions.count; ++i) verdicts[asked[i]] = wire_.verdicts[ids[i]];
        questions.count = 0;
      };
      for (size_t i = 0; i < packets.size(); ++i) {
        if (packets[i].from != from) continue;
        const Packet& p = packets[i].seen;
        const uint8_t kind = wire_.kinds.kind(p.protocol, p.tcp_flags, p.icmp_type, p.icmp_code);
        const uint16_t head = wire_.way(from).heads.entry(packets[i].owner, kind, state_index(p.state, p.direction));
        if ((head & Heads::kColumn) == 0) {
          verdicts[i] = wire_.verdicts[head];
          continue;
        }
        const unsigned n = questions.count++;
        asked[n] = i;
        questions.destination[n] = p.destination.v4_bits();
        questions.source[n] = p.source.v4_bits();
        questions.port[n] = p.destination_port;
        questions.source_port[n] = p.source_port;
        questions.column[n] = static_cast<uint16_t>(head & ~Heads::kColumn);
        if (questions.count == kBurst) ask();
      }
      ask();
    }
  }

  [[nodiscard]] const WireRules& wire() const { return wire_; }

 private:
  WireRules wire_;
  std::vector<std::unique_ptr<Classifier>> classifiers_;
};

/// Packets around the addresses and ports that a rule set names, both directions, all owners of the view.
class WirePackets {
 public:
  WirePackets(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed) : dice_(seed), view_(view) {
    addresses_ = {0, 0xFFFFFFFF, 0xC0000201, 0x08080808};
    ports_ = {0, 1, 52, 53, 54, 80, 443, 65535};
    for (const ruleset::Table& table : rules.tables) {
      if (table.family != Family::kIpv4) continue;
      for (const ruleset::Chain& chain : table.chains) {
        for (const ruleset::Rule& rule : chain.rules) learn(rule);
      }
    }
    std::ranges::sort(addresses_);
    addresses_.erase(std::ranges::unique(addresses_).begin(), addresses_.end());
  }

  WirePacket next() {
    WirePacket w;
    w.from = dice_.chance(80) ? Side::kInside : Side::kOutside;
    w.owner = owner(w.from);
    Packet& p = w.seen;
    p.source = IpAddress::v4(address());
    do p.destination = IpAddress::v4(address());
    while (kLoopbackNetV4.contains(p.destination));
    constexpr uint8_t kProtocols[] = {6, 6, 6, 17, 17, 17, 1, 47, 132, 33, 136, 2, 0, 255};
    p.protocol = dice_.pick(kProtocols);
    const bool has_ports =
        p.protocol == 6 || p.protocol == 17 || p.protocol == 132 || p.protocol == 33 || p.protocol == 136;
    if (has_ports) {
      p.source_port = port();
      p.destination_port = port();
    }
    constexpr uint8_t kFlags[] = {2, 2, 2, 0x12, 0x10, 0x11, 0x04, 0xC2};
    if (p.protocol == 6) p.tcp_flags = dice_.chance(80) ? dice_.pick(kFlags) : static_cast<uint8_t>(dice_.below(256));
    if (p.protocol == 1) {
      p.icmp_type = static_cast<uint8_t>(dice_.chance(70) ? dice_.below(20) : dice_.below(256));
      p.icmp_code = static_cast<uint8_t>(dice_.chance(70) ? dice_.below(4) : dice_.below(256));
    }
    const auto state = static_cast<StateIndex>(dice_.chance(50) ? 0 : dice_.below(kStateCount));
    p.state = conn_state(state);
    p.direction = direction_of(state);
    return w;
  }

 private:
  void learn(const ruleset::Rule& rule) {
    for (const ruleset::AddressTest* test : {&rule.header.source, &rule.header.destination}) {
      const uint32_t first = test->address.v4_bits();
      const uint32_t last = first | ~test->mask.v4_bits();
      addresses_.insert(addresses_.end(), {first, last, first - 1, last + 1, first + (last - first) / 2});
    }
    const auto learn_range = [&](const PortRange& range) {
      for (const int p : {range.first - 1, range.first + 0, range.last + 0, range.last + 1}) {
        ports_.push_back(static_cast<Port>(p));
      }
    };
    for (const ruleset::Match& match : rule.matches) {
      if (const auto* m = std::get_if<ruleset::TcpMatch>(&match)) {
        learn_range(m->source);
        learn_range(m->destination);
      }
      if (const auto* m = std::get_if<ruleset::UdpMatch>(&match)) {
        learn_range(m->source);
        learn_range(m->destination);
      }
      if (const auto* m = std::get_if<ruleset::MultiportMatch>(&match)) {
        for (const PortRange& range : m->ports) learn_range(range);
      }
    }
  }

  uint8_t owner(Side from) {
    std::vector<uint8_t> all = {0};
    for (const OwnerTag& tag : view_.owners) {
      if (from == Side::kInside || std::holds_alternative<ForwardedGuest>(tag.owner)) all.push_back(tag.tag);
    }
    return dice_.pick(all);
  }
  uint32_t address() { return dice_.chance(85) ? dice_.pick(addresses_) : static_cast<uint32_t>(dice_.bits()); }
  Port port() { return dice_.chance(85) ? dice_.pick(ports_) : static_cast<Port>(dice_.bits()); }

  Dice dice_;
  const WireView& view_;
  std::vector<uint32_t> addresses_;
  std::vector<Port> ports_;
};

std::string describe(const WirePacket& w) {
  return (w.from == Side::kInside ? "from inside, tag " : "from outside, tag ") + std::to_string(w.owner) + ": " +
         testing::describe(w.seen);
}

/// What the rule set itself says; by the evaluator, as the machine would see the packet.
WireVerdict reference(const ruleset::Evaluator& evaluator, const WireView& view, const WirePacket& w) {
  const ruleset::Evaluation evaluation = evaluator.evaluate(as_machine_sees(view, w.from, w.owner, w.seen));
  return {evaluation.verdict, evaluation.decided_by.origin()};
}

/// Compares every structure that can hold the rules, on the same packets; the number of structures that could.
size_t expect_structures_agree(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed, size_t packets) {
  const auto wire = compile(rules, view);
  EXPECT_TRUE(wire) << wire.error().message;
  if (!wire) return 0;
  std::vector<Compiled> all;
  for (const Structure structure :
       {Structure::kClassTable, Structure::kLineBlocks, Structure::kAcl, Structure::kScan}) {
    Compiled one(rules, view, structure);
    if (one.is_possible()) all.push_back(std::move(one));
  }
  const ruleset::Evaluator evaluator(rules);
  WirePackets generator(rules, view, seed);
  constexpr size_t kRound = 500;
  std::vector<WirePacket> round(kRound);
  std::vector<WireVerdict> said;
  for (size_t done = 0; done < packets; done += kRound) {
    for (WirePacket& packet : round) packet = generator.next();
    std::vector<WireVerdict> expected;
    for (const WirePacket& packet : round) expected.push_back(reference(evaluator, view, packet));
    for (const Compiled& compiled : all) {
      compiled.judge(round, said);
      for (size_t i = 0; i < kRound; ++i) {
        if (said[i] == expected[i]) continue;
        ADD_FAILURE() << describe(round[i]) << "\nrules say " << static_cast<int>(expected[i].verdict) << " origin "
                      << expected[i].origin << ", the wire says " << static_cast<int>(said[i].verdict) << " origin "
                      << said[i].origin << ", seed " << seed;
        return all.size();
      }
    }
  }
  return all.size();
}

WireView view_of(const policy::Policy& policy) {
  WireView view;
  view.owners = *policy::owner_tags(policy);
  return view;
}

void expect_profile_agrees(std::string_view name) {
  const policy::Policy policy = testing::profile(name);
  EXPECT_EQ(expect_structures_agree(policy::lower(policy), view_of(policy), testing::seed_or(11), 1'000'000), 3 + kAcl);
}

TEST(Classifier, SaysWhatTheTailsProfileSays) { expect_profile_agrees("tails"); }
TEST(Classifier, SaysWhatTheI2pProfileSays) { expect_profile_agrees("tails-i2p"); }
TEST(Classifier, SaysWhatTheClassicProfileSays) { expect_profile_agrees("tails-classic"); }

/// TAILS_FASTPATH_FULL=N: N times as many packets of N times as many policies as a commit has to wait for.
unsigned effort() {
  const char* const text = std::getenv("TAILS_FASTPATH_FULL");
  return text == nullptr ? 1 : static_cast<unsigned>(std::max(1, std::atoi(text)));
}

TEST(Classifier, SaysWhatRandomPoliciesSay) {
  Dice dice(testing::seed_or(12));
  for (unsigned i = 0; i < 60; ++i) {
    const policy::Policy policy = testing::random_policy(dice);
    EXPECT_EQ(expect_structures_agree(policy::lower(policy), view_of(policy), dice.bits(), size_t{5'000} * effort()),
              3 + kAcl);
    if (::testing::Test::HasFailure()) return;
  }
}

/// A random policy with `entries` more: networks of the LAN, closed ports, direct users with their grants, services.
policy::Policy large_policy(Dice& dice, size_t entries) {
  policy::Policy policy = testing::random_policy(dice);
  const auto grant = [&] {
    const auto first = static_cast<Port>(1 + dice.below(65000));
    return policy::PortGrant{dice.chance(50) ? protocol::kTcp : protocol::kUdp,
                             {first, static_cast<Port>(first + dice.below(500))}};
  };
  for (size_t i = 0; i < entries; ++i) {
    if (dice.chance(90)) {
      const size_t length = 12 + dice.below(21);
      policy.lan.networks.push_back(
          *Prefix::make(IpAddress::v4(static_cast<uint32_t>(dice.bits())), static_cast<unsigned>(length)));
    } else if (dice.chance(60) && policy.lan.closed.size() < 200) {
      policy.lan.closed.push_back(grant());
    } else if (dice.chance(50) && policy.direct.size() < 40) {
      const auto uid = static_cast<uint32_t>(2000 + policy.direct.size());
      policy.direct.push_back(
          {{"u" + std::to_string(uid), Uid{uid}}, {grant(), grant()}, dice.chance(75), dice.chance(50), true, {}});
    } else if (!policy.services.empty()) {
      policy.services.push_back(dice.pick(policy.services));
      policy.services.back().ports = {grant()};
    }
  }
  return policy;
}

TEST(Classifier, SaysWhatRandomPoliciesOfUpToTenThousandEntriesSay) {
  Dice dice(testing::seed_or(13));
  const unsigned policies = effort() == 1 ? 2 : 100;
  size_t structures = 0;
  for (unsigned i = 0; i < policies; ++i) {
    // Of the hundred some have the full size; the evaluator takes milliseconds for each packet there.
    const size_t entries = effort() == 1 ? 300 : i % 20 == 0 ? 10'000 : size_t{1} << dice.below(13);
    const policy::Policy policy = large_policy(dice, entries);
    const size_t packets = size_t{500} * effort();
    structures = expect_structures_agree(policy::lower(policy), view_of(policy), dice.bits(), packets);
    EXPECT_GE(structures, 2U) << entries;
    std::cout << i << ": " << policy.lan.networks.size() + policy.services.size() + policy.direct.size() << " entries, "
              << structures << " structures, " << packets << " packets" << std::endl;
    if (::testing::Test::HasFailure()) return;
  }
}

ruleset::RuleSet from_text(std::string_view text) {
  auto rules = ruleset::read_save(text, Family::kIpv4, "test");
  EXPECT_TRUE(rules) << rules.error().message;
  return std::move(*rules);
}

TEST(Classifier, FollowsReturnGotoInversionAndMultiport) {
  const ruleset::RuleSet rules = from_text(
      "*filter\n"
      ":INPUT DROP\n:FORWARD DROP\n:OUTPUT ACCEPT\n:a -\n:b -\n:c -\n"
      "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
      "-A INPUT ! -s 10.0.0.0/8 -p udp -m udp --dport 68 -j c\n"
      "-A OUTPUT -d 10.0.0.0/8 -j a\n"
      "-A OUTPUT -p tcp -m multiport ! --dports 80,443,8000:8100 -j REJECT\n"
      "-A OUTPUT -p udp -m multiport --ports 53,5353 -j c\n"
      "-A OUTPUT ! -d 192.0.2.0/24 -p icmp -m icmp ! --icmp-type 8/0 -j DROP\n"
      "-A OUTPUT -m state --state INVALID -j DROP\n"
      "-A a -p udp -j RETURN\n"
      "-A a ! -d 10.1.0.0/16 -g b\n"
      "-A a -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP\n"
      "-A a -j ACCEPT\n"
      "-A b -d 10.2.0.0/16 -j RETURN\n"
      "-A b -p tcp -m tcp --sport 1024:65535 ! --dport 22:23 -j DROP\n"
      "-A b -m owner --uid-owner 1000-1005 -j ACCEPT\n"
      "-A b -m owner ! --uid-owner 7 -j REJECT\n"
      "-A c -s 172.16.0.0/12 -j ACCEPT\n"
      "-A c -j RETURN\n"
      "COMMIT\n");
  WireView view;
  view.owners = {{3, Uid{1003}, "a"},
                 {7, Uid{7}, "b"},
                 {9, ForwardedGuest{*InterfaceName::make("veth-x"), IpAddress::v4(10, 1, 2, 3)}, "guest"}};
  // Looks at sources: only rte_acl and the scan can hold it.
  EXPECT_EQ(expect_structures_agree(rules, view, 5, 300'000), 1 + kAcl);
}

TEST(Classifier, HoldsManyKindsManyOwnersAndManyColumns) {
  std::string text = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n";
  WireView view;
  for (unsigned tag = 1; tag < 64; ++tag) {
    const std::string uid = std::to_string(1000 + tag);
    view.owners.push_back({static_cast<uint8_t>(tag), Uid{1000 + tag}, uid});
    text += "-A OUTPUT -p tcp -m tcp --dport " + std::to_string(tag * 100) + ":" + std::to_string(tag * 100 + 250) +
            " -m owner --uid-owner " + uid + " -j ACCEPT\n";
    if (tag % 2 == 0)
      text += "-A OUTPUT -d 192.0.2." + std::to_string(tag) + " -m owner --uid-owner " + uid + " -j REJECT\n";
    if (tag < 50)
      text += "-A OUTPUT -p " + std::to_string(150 + tag) + " -d 198.51.100.0/24 -m state --state NEW -j ACCEPT\n";
  }
  text += "COMMIT\n";
  // rte_acl may find them too many.
  EXPECT_GE(expect_structures_agree(from_text(text), view, 6, 300'000), 3U);
}

/// `count` grants to eight users for random networks and ports. `crowded` of a hundred lie in one /16, and are small:
/// the deep parts of the address index are used.
std::string random_grants(int count, unsigned crowded, unsigned shortest_prefix, const WireView& view) {
  std::string text = "*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n";
  Dice dice(8);
  for (int i = 0; i < count; ++i) {
    const bool crowds = dice.chance(crowded);
    const unsigned length = crowds ? 22 + static_cast<unsigned>(dice.below(11))
                                   : shortest_prefix + static_cast<unsigned>(dice.below(33 - shortest_prefix));
    const uint32_t bits =
        crowds ? 0x0A010000 | static_cast<uint32_t>(dice.below(65536)) : static_cast<uint32_t>(dice.bits());
    const size_t first = dice.below(65535);
    text += "-A OUTPUT -d " + to_string(*Prefix::make(IpAddress::v4(bits), length)) +
            (dice.chance(50) ? " -p tcp -m tcp" : " -p udp -m udp") + " --dport " + std::to_string(first) + ":" +
            std::to_string(first + dice.below(65536 - first)) + " -m owner --uid-owner " +
            std::to_string(std::get<Uid>(dice.pick(view.owners).owner).value) +
            (dice.chance(70) ? " -j ACCEPT\n" : " -j REJECT\n");
  }
  return text + "COMMIT\n";
}

WireView eight_users() {
  WireView view;
  for (uint8_t tag = 1; tag < 9; ++tag) view.owners.push_back({tag, Uid{uint32_t{1000} + tag}, "u"});
  return view;
}

TEST(Classifier, HoldsTenThousandRules) {
  const WireView view = eight_users();
  EXPECT_GE(expect_structures_agree(from_text(random_grants(10'000, 20, 8, view)), view, 9, 20'000), 2U);
}

TEST(Classifier, HoldsRulesThatAllOverlap) {
  const WireView view = eight_users();
  EXPECT_GE(expect_structures_agree(from_text(random_grants(1'000, 0, 1, view)), view, 10, 20'000), 2U);
}

TEST(Classifier, AnAbsentTableAccepts) {
  EXPECT_EQ(expect_structures_agree(ruleset::RuleSet(), WireView(), 3, 10'000), 3 + kAcl);
}

TEST(WireRules, RefusesWhatAWireCannotTellAndNamesTheRule) {
  const auto error = [](std::string_view rule) {
    const auto wire =
        compile(from_text("*filter\n:INPUT DROP\n:FORWARD DROP\n:OUTPUT DROP\n" + std::string(rule) + "\nCOMMIT\n"),
                WireView());
    return wire ? "" : wire.error().message;
  };
  EXPECT_EQ(error("-A OUTPUT -m mark --mark 0x1 -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m mark --mark 0x1 -j ACCEPT\": it tests a mark");
  EXPECT_EQ(error("-A OUTPUT -m limit --limit 5/sec -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m limit --limit 5/sec -j ACCEPT\": it tests a rate limit");
  EXPECT_EQ(error("-A OUTPUT -m bpf --bytecode \"1,6 0 0 0\" -j ACCEPT"),
            "the wire filter cannot enforce \"-A OUTPUT -m bpf --bytecode \"1,6 0 0 0\" -j ACCEPT\": it tests an "
            "unknown match");
  // What only logs, or is never met on the wire, may test anything.
  EXPECT_EQ(error("-A OUTPUT -m limit --limit 5/sec -j LOG"), "");
  EXPECT_EQ(error("-A OUTPUT -o lo -m mark --mark 0x1 -j ACCEPT"), "");
}

TEST(WireRules, RefusesOtherTablesThatBlockOrSendElsewhere) {
  const auto error = [](std::string_view text) {
    const auto wire = compile(from_text(text), WireView());
    return wire ? "" : wire.error().message;
  };
  EXPECT_EQ(
      error("*mangle\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT DROP\n:POSTROUTING ACCEPT\nCOMMIT\n"),
      "the wire filter cannot enforce \"-P OUTPUT DROP\" in table \"mangle\": only filter may block");
  EXPECT_EQ(error("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
                  "-A OUTPUT -d 192.0.2.1/32 -j DNAT --to-destination 192.0.2.2\nCOMMIT\n"),
            "the wire filter cannot enforce \"-A OUTPUT -d 192.0.2.1/32 -j DNAT --to-destination 192.0.2.2\" in table "
            "\"nat\": only filter may block, and only loopback be redirected");
  EXPECT_EQ(error("*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\n"
                  "-A OUTPUT -d 127.192.0.0/10 -p tcp -j REDIRECT --to-ports 9040\nCOMMIT\n"),
            "");
}

}  // namespace
}  // namespace tails::fastpath
