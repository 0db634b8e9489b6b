/// Does the leak test find what is wrong, and nothing where nothing is? On the real kernel.

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "iptc/files.h"
#include "iptc/kernel/kernel.h"
#include "iptc/transaction.h"
#include "leaktest/run.h"
#include "policy/lower.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/mutants.h"
#include "tests/kernel/profile.h"
#include "tests/leaktest/faults.h"

namespace tails::leaktest {
namespace {

class LeakTests : public testbed::KernelTest {};

Result<void> enforce(const ruleset::RuleSet& rules) {
  const testbed::ScratchDirectory scratch;
  const auto kernel = iptc::kernel::running_kernel();
  const auto files = iptc::system_files();
  iptc::Options options;
  options.policy = "test";
  options.lock_path = scratch.path() + "/xtables.lock";
  options.run_directory = scratch.path() + "/tails-iptc";
  const auto outcome = iptc::commit({*kernel, *files}, rules, options);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->failure) return tl::unexpected(*outcome->failure);
  return testbed::flush_flows();
}

void say_nothing(std::string_view, size_t, size_t) {}

std::string findings(const Matrix& matrix) {
  std::string text;
  for (const Outcome& outcome : matrix.outcomes) {
    if (outcome.judgement == Judgement::kAsMeant) continue;
    text += outcome.attempt.user + " to " + outcome.attempt.to + ", " + outcome.attempt.how + ": " +
            describe(outcome.attempt, outcome.seen) + "; expected: " + std::string(describe(outcome.attempt.expected)) +
            "\n";
  }
  return text;
}

std::string_view which_faults() {
  const char* wish = std::getenv("TAILS_LEAKTEST_FAULTS");
  return wish == nullptr ? "" : wish;
}

TEST_F(LeakTests, FindsNothingInTheBuiltInProfiles) {
  for (const char* name : testbed::kProfiles) {
    SCOPED_TRACE(name);
    const auto policy = testbed::profile(name);
    TAILS_ASSERT_OK(policy);
    auto test = LeakTest::prepare(*policy, false);
    TAILS_ASSERT_OK(test);
    const auto matrix = test->run(policy::lower_machine(*policy), enforce, say_nothing);
    TAILS_ASSERT_OK(matrix);
    EXPECT_EQ(findings(*matrix), "");
    EXPECT_GT(matrix->outcomes.size(), 2000U);
    EXPECT_GT(matrix->packets, 100U);
  }
}

// What is never seen without rules would not be seen as a leak either.
TEST_F(LeakTests, SeesEveryAttemptOfAnOpenMachine) {
  const auto policy = testbed::profile("tails");
  TAILS_ASSERT_OK(policy);
  auto test = LeakTest::prepare(*policy, false);
  TAILS_ASSERT_OK(test);
  const auto matrix = test->run(
      {}, [](const ruleset::RuleSet&) { return Result<void>{}; }, say_nothing);
  TAILS_ASSERT_OK(matrix);
  std::string unseen;
  for (const Outcome& outcome : matrix->outcomes) {
    const Case& attempt = outcome.attempt;
    if (outcome.seen.is_seen || outcome.seen.is_answered) continue;
    // What the kernel itself refuses: packets for 127/8 from a cable, a redirection that only rules make, what is
    // bound to lo, a SYN that is of no use to a connection, IPv6 from guests without a route.
    unseen += attempt.user + " to " + attempt.to + ", " + attempt.how + "\n";
  }
  RecordProperty("unseen", unseen);
  const auto count = static_cast<size_t>(std::ranges::count(unseen, '\n'));
  EXPECT_LT(count, matrix->outcomes.size() / 10) << unseen;
  EXPECT_GT(matrix->leaks(), 1500U);
}

TEST_F(LeakTests, FindsPlantedFaults) {
  const auto policy = testbed::profile("tails");
  TAILS_ASSERT_OK(policy);
  const ruleset::Machine machine = policy::lower_machine(*policy);
  const std::vector<Fault> faults = planted_faults(machine.host);
  ASSERT_GE(faults.size(), 40U);
  auto test = LeakTest::prepare(*policy, false);
  TAILS_ASSERT_OK(test);
  // A sample, always the same one; each takes a second or two. "every N": another sample.
  size_t step = which_faults() == "all" ? 1 : 11;
  constexpr std::string_view kEvery = "every ";
  if (which_faults().starts_with(kEvery)) step = std::stoul(std::string(which_faults().substr(kEvery.size())));
  size_t found = 0, tried = 0;
  for (size_t i = 0; i < faults.size(); i += step) {
    SCOPED_TRACE(faults[i].name);
    ruleset::Machine wrong = machine;
    wrong.host = faults[i].rules;
    const auto matrix = test->run(wrong, enforce, say_nothing);
    TAILS_ASSERT_OK(matrix);
    ++tried;
    const size_t leaks = matrix->leaks(), broken = matrix->broken();
    found += leaks + broken > 0 ? 1 : 0;
    EXPECT_GT(leaks + broken, 0U);
    if (faults[i].kind == Fault::Kind::kWidened) {
      EXPECT_GT(leaks, 0U);
    }
  }
  std::printf("%zu of %zu planted faults found\n", found, tried);
}

// How far it carries beyond what we thought of: every small change of every rule. Some change nothing that a packet of
// this machine could show, so not all can be found. Without TAILS_LEAKTEST_FAULTS=mutants a few of them.
TEST_F(LeakTests, FindsMostMutants) {
  const auto policy = testbed::profile("tails");
  TAILS_ASSERT_OK(policy);
  const ruleset::Machine machine = policy::lower_machine(*policy);
  auto test = LeakTest::prepare(*policy, false);
  TAILS_ASSERT_OK(test);
  size_t found = 0;
  const std::vector<testbed::Mutant> mutants = testbed::mutants_of(machine.host);
  const size_t step = which_faults() == "mutants" ? 1 : 97;
  size_t tried = 0;
  for (size_t i = 0; i < mutants.size(); i += step) {
    const testbed::Mutant& mutant = mutants[i];
    ++tried;
    ruleset::Machine wrong = machine;
    wrong.host = mutant.rules;
    const auto matrix = test->run(wrong, enforce, say_nothing);
    TAILS_ASSERT_OK(matrix);
    const bool is_found = matrix->leaks() + matrix->broken() > 0;
    found += is_found ? 1 : 0;
    if (!is_found) std::printf("not found: %s\n", mutant.change.c_str());
  }
  std::printf("%zu of %zu mutants found\n", found, tried);
  EXPECT_GT(found * 2, tried);
}

}  // namespace
}  // namespace tails::leaktest
