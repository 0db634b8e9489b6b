// Z3 answers the same questions about random rule sets, from formulas that share nothing with the diagrams.
#include <gtest/gtest.h>

#include <array>

#include "proof/model.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_writer.h"
#include "tests/policy/generators.h"
#include "tests/proof/random_rules.h"
#include "tests/proof/z3_rules.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using testing::Doubts;
using testing::RandomRules;
using testing::Z3Rules;

struct Tally {
  int possible = 0;
  int impossible = 0;
};

/// A narrow place to look at, the same for both.
struct Corner {
  ConnState state;
  uint8_t protocol;
  std::optional<uint32_t> uid;
  std::optional<std::string> out;
  std::optional<Port> port;

  [[nodiscard]] Bdd diagram(const PacketSpace& space) const {
    Bdd set = space.states(state) & space.protocol(protocol);
    if (uid) set &= space.user(Uid{*uid});
    if (out) set &= space.out(InterfaceTest::is(*InterfaceName::make(*out)), Hook::kOutput);
    if (port) set &= space.equals(space.layout().destination_port, *port);
    return set;
  }
  [[nodiscard]] z3::expr formula(const Z3Rules& rules) const {
    z3::expr set = rules.state_is(state) && rules.protocol_is(protocol);
    if (uid) set = set && rules.user_is(*uid);
    if (out) set = set && rules.out_is(*out);
    if (port) set = set && rules.port_is(*port);
    return set;
  }
};

Corner random_corner(RandomRules& random, Hook hook) {
  constexpr std::array kStates = {ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid};
  constexpr std::array kProtocols = {protocol::kTcp, protocol::kUdp, protocol::kIcmp};
  constexpr std::array kUids = {0U, 33U, 107U, 1000U, 4242U};
  constexpr std::array kOuts = {"lo", "eth0", "veth-a", "wlan0"};
  constexpr std::array kPorts = {Port{53}, Port{80}, Port{9050}, Port{4242}};
  Corner corner{kStates.at(random.below(4)), kProtocols.at(random.below(3)), {}, {}, {}};
  if (hook == Hook::kOutput && random.chance(0.7)) corner.uid = kUids.at(random.below(5));
  if (hook == Hook::kOutput && random.chance(0.7)) corner.out = kOuts.at(random.below(4));
  if (corner.protocol != protocol::kIcmp && random.chance(0.7)) corner.port = kPorts.at(random.below(4));
  return corner;
}

/// Asks both whether a packet in a random corner may be accepted, rejected, logged.
void compare(uint32_t seed, Family family, Doubts doubts, Tally& tally) {
  RandomRules random(seed);
  const RuleSet rules = random.rule_set(family, doubts, 5);
  const RuleSet* const list = &rules;
  std::vector<InterfaceName> names;
  for (const char* name : {"lo", "eth0", "veth-a", "wlan0"}) names.push_back(*InterfaceName::make(name));
  const Model model(family, std::span(&list, 1), names);
  const Evaluator evaluator(rules);
  constexpr std::array kHooks = {Hook::kOutput, Hook::kInput, Hook::kOutput, Hook::kForward};
  const Hook hook = kHooks.at(seed % 4);
  z3::context context;
  const Z3Rules formulas(context, rules, family, hook);
  const std::array questions = {Question::accepted(), Question::rejected(), Question::logged()};
  const std::vector<Bdd> answers = model.ask(rules, hook, questions);
  const std::array expressions = {formulas.accepted(), formulas.rejected(), formulas.logged()};
  for (size_t i = 0; i < questions.size(); ++i) {
    const Corner corner = random_corner(random, hook);
    z3::solver solver(context);
    solver.add(formulas.exists() && expressions.at(i) && corner.formula(formulas));
    const z3::check_result answer = solver.check();
    ASSERT_NE(answer, z3::unknown);
    const bool is_possible = !(answers[i] & corner.diagram(model.space())).is_never();
    ASSERT_EQ(is_possible, answer == z3::sat) << "seed " << seed << "\n" << write_save(rules, family);
    ++(is_possible ? tally.possible : tally.impossible);
    if (answer != z3::sat || i != 0) continue;
    // And the evaluator says so of Z3's own example.
    const Verdict verdict = evaluator.evaluate(formulas.packet(solver.get_model())).verdict;
    ASSERT_TRUE(verdict == Verdict::kAccept || (doubts.matches && verdict == Verdict::kUnknown)) << "seed " << seed;
  }
}

/// In parts, so that they can run beside each other.
class Z3Part : public ::testing::TestWithParam<uint32_t> {};

TEST_P(Z3Part, SaysTheSameOfRandomRuleSets) {
  Tally tally;
  for (uint32_t i = 0; i < 60; ++i) {
    compare(5000 + 1000 * GetParam() + i, i % 5 == 0 ? Family::kIpv6 : Family::kIpv4, {}, tally);
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_GT(tally.possible, 30);
  EXPECT_GT(tally.impossible, 30);
}

TEST_P(Z3Part, SaysTheSameWhereMatchesCannotBeRead) {
  Tally tally;
  for (uint32_t i = 0; i < 20; ++i) {
    compare(50000 + 1000 * GetParam() + i, Family::kIpv4, {.matches = true, .targets = false, .marks = true}, tally);
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_GT(tally.possible, 10);
  EXPECT_GT(tally.impossible, 10);
}

INSTANTIATE_TEST_SUITE_P(Z3, Z3Part, ::testing::Range(0U, 5U));

}  // namespace
}  // namespace tails::proof
