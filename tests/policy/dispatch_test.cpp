// The tree of chains for very many services says what the policy says, and a packet passes few of its rules.
#include <gtest/gtest.h>

#include <cstddef>

#include "policy/lower.h"
#include "tests/policy/generators.h"

namespace tails::testing {
namespace {

using policy::Layout;

std::optional<std::string> first_disagreement(const policy::Policy& policy, Layout layout, uint64_t seed,
                                              size_t packets) {
  const ruleset::RuleSet rules = policy::lower(policy, layout);
  const ruleset::Evaluator evaluator(rules);
  PacketGenerator generator(policy, seed);
  for (size_t i = 0; i < packets; ++i) {
    if (auto text = disagreement(policy, evaluator, generator.next())) return text;
  }
  return std::nullopt;
}

policy::User user_number(uint32_t number) { return {"user" + std::to_string(number), Uid{10'000 + number * 3}}; }

/// Services that overlap now and then: mostly one port of 127.0.0.1, some ranges, some other addresses, some denials,
/// a few that grant or deny every port.
policy::Policy policy_of(size_t services, uint32_t users, Dice& dice) {
  policy::Policy policy = random_policy(dice);
  for (size_t i = 0; i < services; ++i) {
    policy::Service service;
    service.name = "service " + std::to_string(i);
    service.at =
        dice.chance(80) ? kLoopbackV4 : IpAddress::v4(0x7F000000U | static_cast<uint32_t>(dice.below(1U << 20)));
    if (dice.chance(10)) service.at = kLoopbackV6;
    const auto first = static_cast<Port>(1 + dice.below(65'000));
    const auto last = dice.chance(80) ? first : static_cast<Port>(first + dice.below(500));
    const uint8_t protocol = dice.chance(70) ? protocol::kTcp : protocol::kUdp;
    service.ports = {{protocol, dice.chance(1) ? PortRange{} : PortRange{first, last}}};
    if (dice.chance(5)) service.from = {PortRange{31'000, 31'002}};
    service.allow = {user_number(static_cast<uint32_t>(dice.below(users)))};
    if (dice.chance(10)) service.deny = {user_number(static_cast<uint32_t>(dice.below(users)))};
    service.is_active = dice.chance(95);
    service.origin = {"random.toml", static_cast<uint32_t>(100 + i), "service"};
    policy.services.push_back(std::move(service));
  }
  return policy;
}

TEST(Dispatch, SaysWhatTheProfilesSay) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const auto text = first_disagreement(profile(name), Layout::kDispatch, seed_or(11), 200'000);
    EXPECT_FALSE(text) << name << ": " << *text;
  }
}

TEST(Dispatch, SaysWhatRandomPoliciesSay) {
  const uint64_t seed = seed_or(12);
  Dice dice(seed);
  for (int i = 0; i < 100; ++i) {
    const auto text = first_disagreement(random_policy(dice), Layout::kDispatch, dice.bits(), 2'000);
    ASSERT_FALSE(text) << *text << "\nrandom policy " << i << ", TAILS_SEED=" << seed;
  }
}

/// Both layouts at every size; fewer packets where the judges, who read everything, take long.
TEST(Dispatch, BothLayoutsSayWhatPoliciesOfEverySizeSay) {
  const uint64_t seed = seed_or(13);
  Dice dice(seed);
  for (const size_t services : {1U, 10U, 100U, 1'000U, 10'000U, 100'000U}) {
    for (const uint32_t users : {50U, 1'000U}) {
      const policy::Policy policy = policy_of(services, users, dice);
      const size_t packets = std::min<size_t>(20'000, 20'000'000 / services);
      for (const Layout layout : {Layout::kPlain, Layout::kDispatch}) {
        const auto text = first_disagreement(policy, layout, dice.bits(), packets);
        ASSERT_FALSE(text) << *text << "\n" << services << " services, " << users << " users, TAILS_SEED=" << seed;
      }
    }
  }
}

TEST(Dispatch, IsChosenAboveTwoHundredRules) {
  Dice dice(14);
  const auto has_tree = [](const policy::Policy& policy) {
    return policy::lower(policy).find(Family::kIpv4, ruleset::TableName::kFilter)->find("lo-tcp") != nullptr;
  };
  EXPECT_FALSE(has_tree(profile("tails")));
  EXPECT_FALSE(has_tree(policy_of(50, 5, dice)));
  EXPECT_TRUE(has_tree(policy_of(300, 5, dice)));
  EXPECT_TRUE(has_tree(policy_of(5'000, 5, dice)));
}

/// Rules that a packet of a foreign or an owning user is compared with, in the worst case over many packets.
size_t longest_way(const ruleset::Table& table, const std::string& chain_name) {
  size_t longest = 0;
  const ruleset::Chain* chain = table.find(chain_name);
  for (const ruleset::Rule& rule : chain->rules) {
    const auto* jump = std::get_if<ruleset::Jump>(&rule.target);
    if (jump == nullptr || jump->chain == "log_reject") continue;
    // A goto leaves; a jump may come back (denials before grants).
    const size_t inside = longest_way(table, jump->chain);
    longest = jump->is_goto ? std::max(longest, inside) : longest + inside;
  }
  return chain->rules.size() + longest;
}

TEST(Dispatch, WayOfAPacketGrowsAsTheLogarithm) {
  Dice dice(15);
  std::vector<size_t> ways;
  for (const size_t services : {1'000U, 10'000U, 100'000U}) {
    const ruleset::RuleSet rules = policy::lower(policy_of(services, 50, dice), Layout::kDispatch);
    const ruleset::Table& filter = *rules.find(Family::kIpv4, ruleset::TableName::kFilter);
    const size_t tcp = longest_way(filter, "no-tcp") + longest_way(filter, "lo-tcp");
    const size_t udp = longest_way(filter, "no-udp") + longest_way(filter, "lo-udp");
    ways.push_back(std::max(tcp, udp));
  }
  EXPECT_LT(ways[2], 150U) << ways[0] << " " << ways[1] << " " << ways[2];
  EXPECT_LT(ways[2], ways[0] * 3) << ways[0] << " " << ways[1] << " " << ways[2];
}

TEST(Dispatch, StoresACellAFewTimesAtMost) {
  Dice dice(16);
  const policy::Policy policy = policy_of(20'000, 50, dice);
  const ruleset::RuleSet rules = policy::lower(policy, Layout::kDispatch);
  size_t count = 0;
  for (const ruleset::Table& table : rules.tables) count += table.rule_count();
  EXPECT_LT(count, 3 * 20'000U);
}

}  // namespace
}  // namespace tails::testing
