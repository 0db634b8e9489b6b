#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "net/result.h"
#include "ruleset/evaluator.h"
#include "ruleset/rule_set.h"
#include "tests/kernel/harness/observer.h"
#include "tests/kernel/harness/rule_counters.h"

namespace tails::testbed {

/// A rule's place: family, table, chain, position from 0; a built-in chain's policy comes after its last rule.
using RulePlace = std::tuple<Family, ruleset::TableName, std::string, size_t>;

/// What the kernel did in a stretch of time: every packet it judged, and how many each rule of filter and nat counted.
struct Round {
  std::vector<Sighting> seen;
  std::map<RulePlace, uint64_t> counted;
};

/// One packet of a round, paired with its sighting behind the filter.
struct Judged {
  Packet packet;
  ruleset::Evaluation expected;
  bool passed = false;
  bool answered = false;  ///< The kernel made an ICMP "port unreachable" about it.
  Endpoint went_to;       ///< Where it passed: its destination behind nat.
};

struct Judgement {
  std::vector<Judged> packets;             ///< In order. They point into the rules.
  std::vector<std::string> disagreements;  ///< One line each; empty: kernel and evaluator agree.
};

/// Whether the kernel did what the evaluator says that `rules` do. For each packet: whether filter let it through,
/// where nat sent it, and whether one that was stopped was answered (as far as a kernel answers such a packet at all).
/// For each rule and policy of filter, and each rule of nat that OUTPUT and FORWARD can meet: that it counted exactly
/// the packets for which the evaluator names it, LOG rules included. Pure.
Judgement judge(const ruleset::RuleSet& rules, const ruleset::Evaluator& evaluator, const Round& round);

/// Follows a namespace round by round. Everything that passes through it is judged, not only what a test sent on
/// purpose: answers, refusals, retransmissions.
class Agreement {
 public:
  /// `rules` are in force in `where`, watched by `observer`; all three outlive this. What was seen so far is forgotten.
  static Result<Agreement> begin(const NetworkNamespace& where, Observer& observer, const ruleset::RuleSet& rules);

  /// Judges what happened since the last call. Waits a little where the kernel may not have finished.
  Result<Judgement> check();

  /// What the last call of `check` judged.
  [[nodiscard]] const Round& last_round() const { return round_; }

 private:
  using Counts = std::map<RulePlace, uint64_t>;

  Agreement(Observer& observer, const ruleset::RuleSet& rules, RuleCounters counters)
      : observer_(&observer), rules_(&rules), evaluator_(rules), counters_(std::move(counters)) {}
  Result<Counts> read_counts();

  Observer* observer_;
  const ruleset::RuleSet* rules_;
  ruleset::Evaluator evaluator_;
  RuleCounters counters_;
  Counts counted_before_;  ///< At the end of the last round.
  Round round_;
};

/// "OUTPUT tcp 192.0.2.10:1000 > 198.51.100.7:443 SYN uid 1000 out eth0 NEW original": for messages.
std::string describe(const Packet& packet);

}  // namespace tails::testbed
