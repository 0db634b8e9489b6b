#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "net/address.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// One variable for each answer that nobody can read from a packet: an opaque match, a rate limit, a TCP option, a
/// supplementary group, an address type by interface. The same answer is one variable wherever it is asked:
/// 1. stateless tests with the same content share one;
/// 2. a test that remembers packets (limit, opaque ones by default) shares one with the same test of an equal rule of
/// the
///    other rule set, the first with the first, the second with the second. So a rule set equals itself.
class Unknowns {
 public:
  /// Variables of a target that nobody can tell the effect of (an opaque one, NAT to a range): one to accept, one to
  /// drop, and one for each question about the packets behind it (see fold.h).
  static constexpr int kPerTarget = 26;

  /// Looks at the tables of `family`. The rule sets must outlive this unchanged; variables are numbered from `first`.
  Unknowns(Family family, std::span<const ruleset::RuleSet* const> sets, int first);

  [[nodiscard]] int first() const { return first_; }
  [[nodiscard]] int count() const { return next_ - first_; }
  /// The variable of a match that may need one (see above); the match is one of the sets' own.
  [[nodiscard]] int of(const ruleset::Match& match) const { return of_match_.at(&match); }
  /// The first of the kPerTarget variables of a rule with such a target.
  [[nodiscard]] int of_target(const ruleset::Rule& rule) const { return of_target_.at(&rule); }
  /// Variables of limits on rules that only log.
  [[nodiscard]] const std::vector<int>& log_limits() const { return log_limits_; }

 private:
  int first_;
  int next_;
  std::unordered_map<const ruleset::Match*, int> of_match_;
  std::unordered_map<const ruleset::Rule*, int> of_target_;
  std::vector<int> log_limits_;
};

}  // namespace tails::proof
