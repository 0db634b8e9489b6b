// Mutants of the profiles: whatever lets one more packet through is found; each example that is claimed to get through
// does by the evaluator; and what is proved to let nothing more through lets none of many random packets.
#include "tests/proof/mutants.h"

#include <gtest/gtest.h>

#include "policy/decide.h"
#include "policy/lower.h"
#include "proof/difference.h"
#include "proof/prove.h"
#include "ruleset/evaluator.h"
#include "tests/policy/generators.h"

namespace tails::proof {
namespace {

using tails::testing::describe;
using tails::testing::PacketGenerator;
using tails::testing::profile;
using testing::Mutant;

/// What was found about one mutant.
struct Verdicts {
  bool leaks = false;    ///< It accepts something that the original does not.
  bool differs = false;  ///< It does anything else.
};

Verdicts examine(const policy::Policy& policy, const ruleset::RuleSet& original, const Mutant& mutant, size_t packets) {
  Verdicts verdicts;
  const ruleset::Evaluator evaluator(mutant.rules);
  const auto proof = prove_by_packet(mutant.rules, policy);
  EXPECT_TRUE(proof) << proof.error().message;
  EXPECT_EQ(holds_by_class(mutant.rules, policy), proof->holds()) << mutant.change;
  for (const Finding& finding : proof->findings) {
    if (finding.holds == Tristate::kYes) continue;
    verdicts.differs = true;
    EXPECT_EQ(finding.holds, Tristate::kNo) << mutant.change << " " << finding.property;
    if (!finding.counterexample) continue;
    const ruleset::Evaluation said = evaluator.evaluate(*finding.counterexample);
    const bool is_leak = finding.property != "blocked-is-logged" && finding.property != "lowering";
    if (is_leak) {
      EXPECT_EQ(said.verdict, Verdict::kAccept) << mutant.change << " " << describe(*finding.counterexample);
      EXPECT_NE(policy::decide(policy, *finding.counterexample).verdict, Verdict::kAccept)
          << mutant.change << " " << finding.property << " " << describe(*finding.counterexample);
    }
  }
  const auto comparison = compare(original, mutant.rules, Familiar::of(policy), 1000);
  EXPECT_TRUE(comparison) << comparison.error().message;
  for (const Difference& difference : comparison->differences) {
    verdicts.leaks |= difference.a.verdict != Verdict::kAccept && difference.b.verdict == Verdict::kAccept;
  }
  // The proof and the comparison agree: more is let through exactly where the rules are no longer the policy's.
  EXPECT_TRUE(!verdicts.leaks || verdicts.differs) << mutant.change;
  if (verdicts.leaks) return verdicts;
  PacketGenerator generator(policy, 99);
  for (size_t i = 0; i < packets; ++i) {
    const Packet packet = generator.next();
    if (packet.state == ConnState::kNew && packet.direction == Direction::kReply) continue;  // no kernel makes one
    if (evaluator.evaluate(packet).verdict == Verdict::kAccept) {
      EXPECT_EQ(policy::decide(policy, packet).verdict, Verdict::kAccept) << mutant.change << " " << describe(packet);
    }
  }
  return verdicts;
}

class Mutants : public ::testing::TestWithParam<const char*> {};

TEST_P(Mutants, AreFoundOrHarmless) {
  const policy::Policy policy = profile(GetParam());
  const ruleset::RuleSet original = policy::lower(policy);
  const std::vector<Mutant> mutants = testing::mutants_of(original);
  size_t leaking = 0;
  size_t closed = 0;
  size_t same = 0;
  for (const Mutant& mutant : mutants) {
    const Verdicts verdicts = examine(policy, original, mutant, 300);
    ++(verdicts.leaks ? leaking : verdicts.differs ? closed : same);
    if (HasFailure()) break;
  }
  RecordProperty("leaking", static_cast<int>(leaking));
  std::cout << mutants.size() << " mutants: " << leaking << " leak, " << closed << " are too closed, " << same
            << " do the same\n";
  EXPECT_GT(leaking, 150U);
  EXPECT_GT(closed, 20U);
}

INSTANTIATE_TEST_SUITE_P(OfProfiles, Mutants, ::testing::Values("tails", "tails-i2p", "tails-classic"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace tails::proof
