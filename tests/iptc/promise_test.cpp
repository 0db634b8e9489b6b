#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "iptc/encode.h"
#include "iptc/kernel/memory_kernel.h"
#include "iptc/transaction.h"
#include "policy/lower.h"
#include "ruleset/evaluator.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"
#include "tests/policy/generators.h"

// "Accepted implies that the old or the new rules accept it", for every state that the kernel is in on the way from any
// of the states to any other, judged by the reference evaluator.
namespace tails::iptc {
namespace {

/// Passes everything on and keeps what is live after each replacement.
class Watcher final : public kernel::Kernel {
 public:
  explicit Watcher(kernel::Kernel& inner) : inner_(inner) {}
  std::vector<ruleset::RuleSet> states;

  Result<bool> has_ipv6() override { return inner_.has_ipv6(); }
  Result<std::vector<std::string>> tables(Family family) override { return inner_.tables(family); }
  Result<kernel::RawTable> read(Family family, std::string_view table) override { return inner_.read(family, table); }
  Result<bool> offers(Family family, kernel::ExtensionKind kind, std::string_view name, uint8_t revision) override {
    return inner_.offers(family, kind, name, revision);
  }
  Result<void> replace(const kernel::RawTable& wanted, const kernel::RawTable& expected) override {
    auto result = inner_.replace(wanted, expected);
    states.push_back(read_all(inner_));
    return result;
  }
  uint64_t namespace_id() override { return inner_.namespace_id(); }

 private:
  kernel::Kernel& inner_;
};

void put(kernel::MemoryKernel& kernel, const State& state) {
  for (const ruleset::Table& table : state.rules.tables) {
    const auto encoded = encode(state.rules, table, Features::all());
    ASSERT_TRUE(encoded) << encoded.error().message;
    kernel.edit(*encoded);
  }
}

bool may_accept(const ruleset::Evaluator& rules, const Packet& packet) {
  const Verdict verdict = rules.evaluate(packet).verdict;
  return verdict == Verdict::kAccept || verdict == Verdict::kUnknown;
}

size_t packets_per_switch() {
  const char* const text = std::getenv("TAILS_PROMISE_PACKETS");
  return text == nullptr ? 2000 : std::stoul(text);
}

/// Packets near both states that neither set of rules accepts.
std::vector<Packet> forbidden_by_both(const State& before, const State& after, const ruleset::RuleSet& old_rules,
                                      const ruleset::RuleSet& new_rules, size_t count) {
  const ruleset::Evaluator old_evaluator(old_rules);
  const ruleset::Evaluator new_evaluator(new_rules);
  std::vector<Packet> packets = packets_near(before, after, count, testing::seed_or(7));
  std::erase_if(packets, [&](const Packet& packet) {
    return may_accept(old_evaluator, packet) || may_accept(new_evaluator, packet);
  });
  return packets;
}

class Promise : public ::testing::TestWithParam<std::string> {};

TEST_P(Promise, HoldsInEveryStateOnTheWayToEveryOtherState) {
  const std::vector<State> states = all_states();
  const State before = state(GetParam());
  size_t judged = 0;
  for (const State& after : states) {
    if (after.name == before.name) continue;
    SCOPED_TRACE(before.name + " to " + after.name);
    kernel::MemoryKernel memory;
    put(memory, before);
    Watcher kernel(memory);
    MemoryFiles files;
    Options options;
    options.lockdown = policy::lockdown();
    const ruleset::RuleSet old_rules = read_all(memory);
    const auto outcome = commit({kernel, files}, after.rules, options);
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_EQ(outcome->kind, Outcome::Kind::kApplied);
    const ruleset::RuleSet new_rules = read_all(memory);

    const std::vector<Packet> forbidden = forbidden_by_both(before, after, old_rules, new_rules, packets_per_switch());
    for (size_t i = 0; i < kernel.states.size(); ++i) {
      const ruleset::Evaluator evaluator(kernel.states[i]);
      for (const Packet& packet : forbidden) {
        ++judged;
        ASSERT_FALSE(may_accept(evaluator, packet))
            << "after commit " << i + 1 << " of " << kernel.states.size() << ": " << testing::describe(packet);
      }
    }
  }
  RecordProperty("judged", static_cast<int>(judged));
}

/// The same judge must see what goes wrong where filter is always put in first and no guard stands: else it could not
/// fail.
TEST(PromiseJudge, SeesWhatFilterFirstWithoutGuardsLetsThrough) {
  const std::vector<State> states = all_states();
  size_t switches = 0;
  size_t broken = 0;
  for (const State& before : states) {
    for (const State& after : states) {
      if (after.name == before.name) continue;
      ++switches;
      kernel::MemoryKernel memory;
      put(memory, before);
      const ruleset::RuleSet old_rules = read_all(memory);
      kernel::MemoryKernel goal;
      MemoryFiles files;
      put(goal, before);
      ASSERT_TRUE(commit({goal, files}, after.rules, {}));
      const ruleset::RuleSet new_rules = read_all(goal);
      memory.edit(*goal.read(Family::kIpv4, "filter"));
      const ruleset::RuleSet half_way = read_all(memory);
      const ruleset::Evaluator evaluator(half_way);
      const auto forbidden = forbidden_by_both(before, after, old_rules, new_rules, packets_per_switch());
      if (std::ranges::any_of(forbidden, [&](const Packet& packet) { return may_accept(evaluator, packet); })) ++broken;
    }
  }
  std::printf("of %zu switches the promise is broken in %zu\n", switches, broken);
  EXPECT_GT(broken, 0U);
}

TEST(Guard, LetsThroughEstablishedFlowsThatBothPoliciesAccept) {
  kernel::MemoryKernel memory;
  put(memory, state("tails"));
  Watcher kernel(memory);
  MemoryFiles files;
  const auto outcome = commit({kernel, files}, state("tails-i2p").rules, {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_EQ(kernel.states.size(), 4U) << "IPv6 filter, guard, nat, filter";
  Packet packet;
  packet.source = IpAddress::v4(192, 0, 2, 1);
  packet.destination = IpAddress::v4(203, 0, 113, 5);
  packet.out = *InterfaceName::make("eth0");
  packet.uid = Uid{107};
  packet.gid = Gid{107};
  packet.source_port = 40000;
  packet.destination_port = 443;
  packet.tcp_flags = tcp_flag::kAck;
  packet.state = ConnState::kEstablished;
  for (const ruleset::RuleSet& live : kernel.states) {
    EXPECT_EQ(ruleset::Evaluator(live).evaluate(packet).verdict, Verdict::kAccept);
  }
  packet.tcp_flags = tcp_flag::kSyn;
  packet.state = ConnState::kNew;
  EXPECT_EQ(ruleset::Evaluator(kernel.states[1]).evaluate(packet).verdict, Verdict::kDrop) << "not even Tor's";
}

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const State& state : all_states()) result.push_back(state.name);
  return result;
}

INSTANTIATE_TEST_SUITE_P(FromEveryState, Promise, ::testing::ValuesIn(names()), [](const auto& parameter) {
  std::string name = parameter.param;
  std::erase_if(name, [](char c) { return c == ' ' || c == '-'; });
  return name;
});

}  // namespace
}  // namespace tails::iptc
