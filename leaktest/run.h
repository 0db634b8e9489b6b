#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "leaktest/matrix.h"
#include "leaktest/plan.h"
#include "net/result.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

/// The leak test: a throw-away machine on the real kernel, real sockets of every account, and wires that are watched.
namespace tails::leaktest {

/// Puts rules in force in the network namespace that the calling thread is in.
using Enforce = std::function<Result<void>(const ruleset::RuleSet& rules)>;
/// Told of what is going on: "trying 1,200 ways out", so many of so many done.
using Progress = std::function<void(std::string_view what, size_t done, size_t all)>;

/// A throw-away machine that can be tried with rule after rule set. Needs root. One at a time per process; the calling
/// thread is in its own network namespace whenever a function returns.
class LeakTest {
 public:
  /// Errors (kRefused): no permission, or the kernel lacks namespaces or veth.
  static Result<LeakTest> prepare(const policy::Policy& policy, bool is_quick);
  LeakTest(LeakTest&&) noexcept;
  LeakTest& operator=(LeakTest&&) noexcept;
  ~LeakTest();

  /// Tries the whole plan under `machine`, which may say other than the policy: that is what is found out.
  /// Errors (kRefused): the rules cannot be put in force; the capture lost packets; a process could not be made.
  Result<Matrix> run(const ruleset::Machine& machine, const Enforce& enforce, const Progress& progress);

 private:
  struct Parts;
  explicit LeakTest(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace tails::leaktest
