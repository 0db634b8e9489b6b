#include "proof/fold.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "proof/model.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_writer.h"
#include "tests/proof/random_rules.h"

namespace tails::proof {
namespace {

using namespace ruleset;
using testing::Doubts;
using testing::RandomRules;

/// What may happen to every packet at one hook.
struct Fates {
  Fates(const Model& model, const RuleSet& rules, Hook hook) {
    const std::array questions = {Question::accepted(), Question::rejected(), Question::logged()};
    const std::vector<Bdd> answers = model.ask(rules, hook, questions);
    const Bdd dropped = model.space().domain(hook) - answers[0] - answers[1];
    accept = model.possibly(answers[0]);
    reject = model.possibly(answers[1]);
    drop = model.possibly(dropped);
    logged = model.possibly(answers[2]);
    unlogged = model.possibly(model.space().domain(hook) - answers[2]);
  }
  Bdd accept, reject, drop, logged, unlogged;
};

struct Counts {
  int sure = 0;      ///< Both are sure.
  int doubtful = 0;  ///< Both are in doubt.
  int sharper = 0;   ///< The evaluator is in doubt, the diagram is not.
};

Verdict verdict_of(const Fates& fates, const std::vector<bool>& at) {
  const bool accept = fates.accept.at(at), reject = fates.reject.at(at), drop = fates.drop.at(at);
  if (accept + reject + drop != 1) return Verdict::kUnknown;
  return accept ? Verdict::kAccept : reject ? Verdict::kReject : Verdict::kDrop;
}

Tristate tristate(bool yes, bool no) { return yes && no ? Tristate::kUnknown : yes ? Tristate::kYes : Tristate::kNo; }

/// Compares the diagram of random rule sets with the evaluator, packet by packet.
Counts compare(uint32_t seed, Family family, Doubts doubts, int sets, int packets) {
  Counts counts;
  for (int s = 0; s < sets; ++s) {
    RandomRules random(seed + static_cast<uint32_t>(s));
    const RuleSet rules = random.rule_set(family, doubts);
    const RuleSet* const list = &rules;
    const Model model(family, std::span(&list, 1), {});
    const Evaluator evaluator(rules);
    for (const Hook hook : {Hook::kOutput, Hook::kInput, Hook::kForward}) {
      const Fates fates(model, rules, hook);
      for (int i = 0; i < packets; ++i) {
        const Packet packet = random.packet(family, hook);
        const Evaluation expected = evaluator.evaluate(packet);
        const std::vector<bool> at = model.space().assignment(packet, model.variables());
        const Verdict verdict = verdict_of(fates, at);
        const Tristate logged = tristate(fates.logged.at(at), fates.unlogged.at(at));
        EXPECT_TRUE(verdict == expected.verdict || expected.verdict == Verdict::kUnknown)
            << "seed " << seed + static_cast<uint32_t>(s) << "\n"
            << write_save(rules, family);
        EXPECT_TRUE(logged == expected.logged || expected.logged == Tristate::kUnknown)
            << "seed " << seed + static_cast<uint32_t>(s) << "\n"
            << write_save(rules, family);
        if (expected.verdict != Verdict::kUnknown) {
          ++counts.sure;
        } else {
          ++(verdict == Verdict::kUnknown ? counts.doubtful : counts.sharper);
        }
        if (::testing::Test::HasFailure()) return counts;
      }
    }
  }
  return counts;
}

TEST(Fold, AgreesWithTheEvaluatorOnIpv4) {
  const Counts counts = compare(1000, Family::kIpv4, {}, 300, 200);
  EXPECT_EQ(counts.doubtful + counts.sharper, 0);
}

TEST(Fold, AgreesWithTheEvaluatorOnIpv6) {
  const Counts counts = compare(2000, Family::kIpv6, {}, 100, 200);
  EXPECT_EQ(counts.doubtful + counts.sharper, 0);
}

TEST(Fold, AgreesWithTheEvaluatorOnWhatDependsOnUnreadableMatches) {
  const Counts counts = compare(3000, Family::kIpv4, {.matches = true, .targets = false, .marks = false}, 300, 200);
  EXPECT_GT(counts.doubtful, 5000);
}

TEST(Fold, IsNeverSureWhereTheEvaluatorIsSureOfSomethingElse) {
  const Counts counts = compare(4000, Family::kIpv4, {.matches = true, .targets = true, .marks = true}, 300, 200);
  EXPECT_GT(counts.doubtful, 5000);
}

}  // namespace
}  // namespace tails::proof
