#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/operand.h"
#include "cli/screen.h"
#include "leaktest/run.h"

/// What `leaktest` and `report` share: making the leak test, and showing what came of it.
namespace tails::cli {

/// What becomes of one destination, over all who tried.
struct LeakRow {
  std::string to;
  size_t attempts = 0;
  size_t leaks = 0;
  size_t broken = 0;
  std::vector<std::string> who;  ///< Who may get there and did, each once, in the plan's order.
};
/// In the plan's order. Pure.
std::vector<LeakRow> leak_rows(const leaktest::Matrix& matrix);

/// "amnesia", "guest tbb": who tried, each once, in the plan's order. Pure.
std::vector<std::string> leak_users(const leaktest::Matrix& matrix);

/// What leaked or is broken alike for several accounts.
struct LeakFinding {
  leaktest::Judgement kind;
  std::vector<std::string> users;  ///< Each once, in the plan's order.
  std::string who;                 ///< Their names, or "every account".
  std::string what;  ///< "to the Internet, ping: reached; expected: stopped, because of default (p.toml)".
};
/// Leaks first. Pure.
std::vector<LeakFinding> leak_findings(const leaktest::Matrix& matrix);

/// Tries `rules` in a throw-away machine, as `policy` says it should be; guests have the policy's rules. Takes no lock
/// and leaves no record: nothing of this machine is touched. Where `progress` is a terminal, it shows how far it is.
Result<leaktest::Matrix> try_leaks(const policy::Policy& policy, const ruleset::RuleSet& rules, bool is_quick,
                                   const Screen* progress);

/// One line per destination, then the findings.
std::string leak_table_text(const leaktest::Matrix& matrix, const Screen& screen);

namespace json {
/// `leaktest`.
std::string leaks(const leaktest::Matrix& matrix, std::chrono::duration<double, std::milli> time);
}  // namespace json

}  // namespace tails::cli
