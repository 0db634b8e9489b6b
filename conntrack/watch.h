#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <unordered_set>

#include "conntrack/events.h"
#include "conntrack/judge.h"
#include "conntrack/routing.h"
#include "conntrack/table.h"
#include "ruleset/rule_set.h"

namespace tails::conntrack {

/// Watches flows come and go, and judges each new one by a policy's rules: what the live rules let through although
/// the policy would not is an alarm. Not thread-safe.
///
/// Limits: a flow whose socket is closed again before we look has no owner, and its judgement may be kUnknown, which
/// is no alarm. Addresses and routes are read anew at most once a second.
class FlowWatch {
 public:
  struct Sight {
    enum class Kind : uint8_t {
      kOpened,
      kEnded,      ///< Its opinion means nothing.
      kStillOpen,  ///< Found when the table was read again after lost news. Only alarms are reported so.
      kLost,       ///< The kernel dropped news; `flow` means nothing. The table is read again right after.
    };
    Kind kind = Kind::kOpened;
    Flow flow;
    Opinion opinion;
    [[nodiscard]] bool is_alarm() const {
      return (kind == Kind::kOpened || kind == Kind::kStillOpen) && opinion.judgement == Judgement::kRevoked;
    }
  };
  using OnSight = std::function<void(const Sight&)>;

  /// Keeps a pointer to `rules`. Errors as FlowTable::open.
  static Result<FlowWatch> open(const ruleset::RuleSet& rules, int queue_bytes = 8 << 20);

  /// Reports what has happened; waits at most `patience` for something.
  Result<void> look(std::chrono::milliseconds patience, const OnSight& on_sight);

  /// The packet that the rules were asked about, to explain an opinion. Only for a sight of the last look(), of a kind
  /// that has an opinion.
  [[nodiscard]] Packet question(const Sight& sight) const {
    return bench_->judge.question(sight.flow, sight.opinion.owner);
  }

 private:
  struct Bench {  // where the judge sits: it keeps a reference to the routing
    KernelRouting routing;
    Judge judge;
    Bench(KernelRouting from, const ruleset::RuleSet& rules) : routing(std::move(from)), judge(rules, routing) {}
  };

  FlowWatch(const ruleset::RuleSet& rules, FlowEvents events, FlowTable table)
      : rules_(&rules), events_(std::move(events)), table_(std::move(table)) {}
  Result<void> refresh();
  Result<void> read_again(const OnSight& on_sight);

  const ruleset::RuleSet* rules_;
  FlowEvents events_;
  FlowTable table_;
  std::unique_ptr<Bench> bench_;
  std::chrono::steady_clock::time_point refreshed_;
  std::unordered_set<uint32_t> reported_;  ///< Identities of the alarms that still live.
};

}  // namespace tails::conntrack
