#include <array>
#include <ctime>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/decision.h"
#include "cli/flow_words.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/watching.h"
#include "conntrack/watch.h"
#include "policy/system_environment.h"
#include "ruleset/evaluator.h"

namespace tails::cli {
namespace {

using conntrack::FlowWatch;
using Kind = FlowWatch::Sight::Kind;

constexpr std::array kConntrackWatchOptions{
    OptionSpec{.name = "--fail", .help = "End with exit status 1 at the first alarm"},
    OptionSpec{.name = "--alarms", .help = "Show alarms only"},
    kForOption,
};

std::string_view word(Kind kind) {
  switch (kind) {
    case Kind::kOpened: return "new";
    case Kind::kEnded: return "end";
    case Kind::kStillOpen: return "open";
    case Kind::kLost: return "lost";
  }
  return "";
}

class Watcher {
 public:
  Watcher(const Invocation& invocation, const Operand& policy, UserNames names)
      : invocation_(invocation),
        rules_(policy.rules),
        evaluator_(policy.rules),
        names_(std::move(names)),
        only_alarms_(invocation.arguments.has("--alarms")) {}

  [[nodiscard]] bool has_alarm() const { return has_alarm_; }

  void see(const FlowWatch& watch, const FlowWatch::Sight& sight) {
    has_alarm_ |= sight.is_alarm();
    if (only_alarms_ && !sight.is_alarm() && sight.kind != Kind::kLost) return;
    print(invocation_.global.json ? json(sight) : line(watch, sight));
  }

 private:
  static std::string json(const FlowWatch::Sight& sight) {
    if (sight.kind == Kind::kLost) return "{\"event\":\"lost\"}\n";
    return fmt::format("{{\"event\":\"{}\",\"alarm\":{},\"flow\":{}}}\n", word(sight.kind), sight.is_alarm(),
                       flow_json(sight.flow, sight.opinion));
  }

  std::string line(const FlowWatch& watch, const FlowWatch::Sight& sight) const {
    const Screen& screen = invocation_.out;
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::string text =
        screen.paint(Ink::kFaint, fmt::format("{:02}:{:02}:{:02}", local.tm_hour, local.tm_min, local.tm_sec)) + " ";
    if (sight.kind == Kind::kLost) {
      return text + screen.paint(Ink::kWarning, "the kernel dropped news of flows; reading the table again") + "\n";
    }
    if (sight.kind == Kind::kEnded) return text + "end      " + flow_text(sight.flow) + "\n";
    const auto& opinion = sight.opinion;
    text += sight.is_alarm() ? screen.paint(Ink::kBad, "ALARM   ") : fmt::format("{:<8}", to_string(opinion.judgement));
    text += " " + flow_text(sight.flow);
    if (opinion.owner) {
      text += " by " + names_(*opinion.owner).value_or(fmt::format("user {}", opinion.owner->value));
    }
    if (sight.is_alarm()) text += reason(watch, sight);
    return text + "\n";
  }

  /// The policy's line that forbids it.
  std::string reason(const FlowWatch& watch, const FlowWatch::Sight& sight) const {
    const ruleset::Evaluation evaluation = evaluator_.explain(watch.question(sight));
    const ruleset::Origin* origin = rules_.origin(deciding_origin(evaluation));
    if (evaluation.verdict == Verdict::kAccept) return ": the policy would send it elsewhere";
    if (origin == nullptr) return ": the policy does not allow it";
    return fmt::format(": the policy does not allow it ({}{}{})", to_string(*origin), origin->entry.empty() ? "" : ", ",
                       origin->entry);
  }

  const Invocation& invocation_;
  const ruleset::RuleSet& rules_;
  ruleset::Evaluator evaluator_;
  UserNames names_;
  bool only_alarms_;
  bool has_alarm_ = false;
};

Result<ExitStatus> run_conntrack_watch(const Invocation& invocation) {
  const auto watching = Watching::begin(invocation);
  if (!watching) return tl::unexpected(watching.error());
  const policy::SystemEnvironment environment;
  const auto policy = load_policy_in_charge(invocation.global, environment);
  if (!policy) return tl::unexpected(policy.error());
  auto watch = FlowWatch::open(policy->rules);
  if (!watch) return tl::unexpected(watch.error());

  const bool ends_at_alarm = invocation.arguments.has("--fail");
  Watcher watcher(invocation, *policy, user_names(invocation.global, policy->accounts, environment));
  while (watching->goes_on() && !(ends_at_alarm && watcher.has_alarm())) {
    const auto looked =
        watch->look(Watching::kPatience, [&](const FlowWatch::Sight& sight) { watcher.see(*watch, sight); });
    if (!looked) return tl::unexpected(looked.error());
  }
  return ends_at_alarm && watcher.has_alarm() ? ExitStatus::kNo : ExitStatus::kDone;
}

}  // namespace

constinit const Command kConntrackWatch{
    .name = "conntrack watch",
    .group = Group::kInspect,
    .summary = "Watch flows open and end; raise an alarm for what the policy would not allow",
    .description =
        "Shows flows as the kernel opens and ends them, each judged by the policy (not by the rules in force). A new "
        "flow that the policy would not allow is an alarm: somebody changed the rules, or they have a hole. A flow "
        "whose program is gone before we look is \"unknown\", which is no alarm. With --json, one document per line.",
    .options = kConntrackWatchOptions,
    .example = "sudo tails-iptc conntrack watch --alarms --fail",
    .run = run_conntrack_watch,
};

}  // namespace tails::cli
