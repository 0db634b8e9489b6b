#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/decision.h"
#include "cli/json.h"
#include "cli/operand.h"
#include "cli/packet_arguments.h"
#include "cli/packet_words.h"
#include "cli/policy_text.h"
#include "cli/text_table.h"
#include "policy/system_environment.h"
#include "ruleset/evaluator.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

Ink ink_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return Ink::kGood;
    case Verdict::kReject:
    case Verdict::kDrop: return Ink::kBad;
    case Verdict::kUnknown: return Ink::kWarning;
  }
  return Ink::kPlain;
}

std::string_view verdict_words(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return "Accepted";
    case Verdict::kReject: return "Refused";
    case Verdict::kDrop: return "Dropped in silence";
    case Verdict::kUnknown: return "Nobody can tell";
  }
  return "";
}

std::string target_words(const ruleset::RuleRef& ref) {
  if (ref.is_policy()) {
    return *ref.chain->policy == ruleset::ChainPolicy::kAccept ? "policy ACCEPT" : "policy DROP";
  }
  return target_in_words(ref.chain->rules[ref.rule].target);
}

/// One line per rule that matched: where it stands, what it tests, what it does, who wants it.
std::string steps_text(const ruleset::Evaluation& evaluation, const ruleset::RuleSet& rules, const UserNames& names,
                       const Screen& screen) {
  TextTable table({{}, {"", TextTable::Align::kLeft, true}, {}, {}});
  for (const ruleset::Step& step : evaluation.steps) {
    const ruleset::RuleRef& ref = step.rule;
    const ruleset::Origin* origin = rules.origin(ref.origin());
    const std::string place = ref.is_policy()
                                  ? fmt::format("{} {}", to_string(ref.table->name), ref.chain->name)
                                  : fmt::format("{} {} {}", to_string(ref.table->name), ref.chain->name, ref.rule + 1);
    const std::string tests = ref.is_policy() ? "at the end" : tests_in_words(ref.chain->rules[ref.rule], names);
    table.add({{place, Ink::kName},
               {(step.certain ? "" : "perhaps: ") + tests},
               {target_words(ref), Ink::kStrong},
               {origin == nullptr ? "" : to_string(*origin), Ink::kFaint}});
  }
  return table.render(screen, 2);
}

std::string decision_text(const ruleset::Evaluation& evaluation, const Operand& operand, const Screen& screen) {
  std::string text = screen.paint(ink_of(evaluation.verdict), verdict_words(evaluation.verdict));
  if (evaluation.redirected_to) text += fmt::format(", redirected to {}", endpoint_text(*evaluation.redirected_to));
  if (evaluation.logged == Tristate::kYes) text += ", logged";
  if (evaluation.logged == Tristate::kUnknown) text += ", perhaps logged";
  const ruleset::Origin* origin = operand.rules.origin(deciding_origin(evaluation));
  if (origin != nullptr) {
    text += fmt::format(": {}{}{}\n", origin->entry, origin->entry.empty() ? "" : ", ", to_string(*origin));
    text += policy_entry(*origin, screen);
  } else if (evaluation.decided_by.chain == nullptr) {
    text += ": no table that it meets has rules\n";
  } else {
    text += "; which policy line wants it is not known\n";
  }
  if (evaluation.depends_on) {
    text += screen.wrap(fmt::format("It depends on a rule that cannot be read: {}",
                                    ruleset::write_rule(*evaluation.depends_on))) +
            "\n";
  }
  return text;
}

Result<ExitStatus> run_explain(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const Result<Operand> operand = load_operand_or_policy(invocation, environment);
  if (!operand) return tl::unexpected(operand.error());

  const policy::Policy* policy = operand->policy ? &*operand->policy : nullptr;
  const std::vector<IpAddress> own = own_addresses();
  const Result<Packet> packet =
      packet_of(invocation.arguments, {invocation.global, operand->accounts, policy, environment, own});
  if (!packet) return tl::unexpected(packet.error());

  const ruleset::Evaluator evaluator(operand->rules);
  const ruleset::Evaluation evaluation = evaluator.explain(*packet);
  if (invocation.global.json) {
    print(json::evaluation(evaluation, *packet, operand->rules));
    return ExitStatus::kDone;
  }
  const UserNames names = user_names(invocation.global, operand->accounts, environment);
  const std::optional<std::string> name = packet->uid ? names(*packet->uid) : std::nullopt;
  const std::string user = !packet->uid ? "no socket"
                           : name       ? fmt::format("{} ({})", *name, packet->uid->value)
                                        : fmt::format("user {}", packet->uid->value);
  print(fmt::format("{}: {}\n{}\n\n{}\n{}", invocation.out.paint(Ink::kStrong, user), packet_text(*packet),
                    invocation.out.paint(Ink::kFaint, "in " + operand->name),
                    steps_text(evaluation, operand->rules, names, invocation.out),
                    decision_text(evaluation, *operand, invocation.out)));
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kExplain{
    .name = "explain",
    .group = Group::kInspect,
    .summary = "Say what happens to a packet, step by step, and which policy line decides",
    .description =
        "Follows one packet that this machine would send through the rules: every rule that matches it, the "
        "verdict, and the line of the policy that wants it so. Nothing is sent and no root is needed, except "
        "to read the live rules. Without X the policy is asked.",
    .options = kPacketOptions,
    .operands = {.name = "X", .help = kOperandHelp, .most = 1, .completion = Completion::kOperand},
    .example =
        "tails-iptc explain --user amnesia --to 198.51.100.7 --port 443\n"
        "tails-iptc explain --user clearnet --to 192.168.1.1 --proto udp --port 53 tails-i2p\n"
        "sudo tails-iptc explain --user none --to 127.0.0.1 --type 3/3 --state RELATED live",
    .run = run_explain,
};

}  // namespace tails::cli
