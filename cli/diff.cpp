#include <array>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/decision.h"
#include "cli/findings_text.h"
#include "cli/json.h"
#include "cli/operand.h"
#include "cli/packet_words.h"
#include "cli/progress.h"
#include "cli/rule_counts.h"
#include "cli/text_diff.h"
#include "cli/text_table.h"
#include "policy/system_environment.h"
#include "proof/difference.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

constexpr std::array kDiffOptions{
    OptionSpec{.name = "--text", .help = "Also the lines that differ, as iptables-save prints the rules"},
    OptionSpec{.name = "--most", .value = "N", .help = "So many classes of packets at most", .fallback = "20"},
};

std::string_view kind_text(proof::Difference::Kind kind) {
  using Kind = proof::Difference::Kind;
  switch (kind) {
    case Kind::kVerdict: return "";
    case Kind::kDestination: return "another destination";
    case Kind::kSource: return "masqueraded by only one, or with other ports";
    case Kind::kUnknown: return "depends on what cannot be read";
  }
  return "";
}

/// "accept", "accept at 127.0.0.1:9040".
std::string fate_text(const ruleset::Evaluation& evaluation) {
  std::string text(verdict_text(evaluation.verdict));
  if (evaluation.redirected_to) text += " at " + endpoint_text(*evaluation.redirected_to);
  return text;
}

std::string rule_text(const ruleset::Evaluation& evaluation, const ruleset::RuleSet& rules) {
  const bool is_doubtful = evaluation.verdict == Verdict::kUnknown && evaluation.depends_on;
  const ruleset::RuleRef& rule = is_doubtful ? *evaluation.depends_on : evaluation.decided_by;
  if (rule.chain == nullptr) return "no table";
  const ruleset::Origin* origin = rules.origin(is_doubtful ? rule.origin() : deciding_origin(evaluation));
  std::string text = ruleset::write_rule(rule);
  if (origin != nullptr) {
    text += fmt::format(" ({}{}{})", to_string(*origin), origin->entry.empty() ? "" : ", ", origin->entry);
  }
  return text;
}

std::string difference_text(const proof::Difference& difference, const Operand& a, const Operand& b,
                            const UserNames& names, const Screen& screen) {
  const std::string_view kind = kind_text(difference.kind);
  std::string text =
      screen.wrap(fmt::format("{} {}, {}{}", hook_text(difference.packet.hook), packet_text(difference.packet),
                              owner_text(difference.packet, names), kind.empty() ? "" : fmt::format(" ({})", kind)));
  TextTable table({{}, {}, {"", TextTable::Align::kLeft, true}});
  table.add({{"a", Ink::kName}, {fate_text(difference.a), Ink::kStrong}, {rule_text(difference.a, a.rules)}});
  table.add({{"b", Ink::kName}, {fate_text(difference.b), Ink::kStrong}, {rule_text(difference.b, b.rules)}});
  return text + "\n" + table.render(screen, 2);
}

/// The tables that differ, line by line.
std::string text_difference(const ruleset::RuleSet& a, const ruleset::RuleSet& b, const Screen& screen) {
  using ruleset::TableName;
  std::string text;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const TableName name :
         {TableName::kRaw, TableName::kMangle, TableName::kNat, TableName::kFilter, TableName::kSecurity}) {
      const ruleset::Table* table_a = a.find(family, name);
      const ruleset::Table* table_b = b.find(family, name);
      const std::string before = table_a == nullptr ? "" : ruleset::write_save(*table_a);
      const std::string after = table_b == nullptr ? "" : ruleset::write_save(*table_b);
      if (before == after) continue;
      text += fmt::format("{} {}\n{}", family_text(family), to_string(name),
                          changes_text(line_changes(before, after), screen, 2));
    }
  }
  return text;
}

Result<ExitStatus> run_diff(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const std::vector<std::string>& operands = invocation.arguments.operands();
  const auto most = invocation.arguments.number("--most", 1, 100000);
  if (!most) return tl::unexpected(most.error());
  // Without operands the policy is compared with the live rules; a single one is compared with them as well.
  const Result<Operand> a = load_operand_or_policy(invocation, environment);
  if (!a) return tl::unexpected(a.error());
  const Result<Operand> b = load_operand(operands.size() < 2 ? "live" : operands[1], invocation.global, environment);
  if (!b) return tl::unexpected(b.error());

  const policy::Policy* policy = a->policy ? &*a->policy : b->policy ? &*b->policy : nullptr;
  proof::Familiar familiar = policy != nullptr ? proof::Familiar::of(*policy) : proof::Familiar::plain();
  familiar.add(a->rules);
  familiar.add(b->rules);
  progress::stage("Comparing");
  const Result<proof::Comparison> comparison = proof::compare(a->rules, b->rules, familiar, **most);
  if (!comparison) return tl::unexpected(comparison.error());
  const ExitStatus status = comparison->is_same() ? ExitStatus::kDone : ExitStatus::kNo;
  if (invocation.global.json) {
    print(json::comparison(*comparison, a->rules, b->rules));
    return status;
  }
  const Screen& screen = invocation.out;
  std::string text;
  if (!comparison->is_same()) {
    const UserNames names = user_names(invocation.global, a->accounts, environment);
    text = fmt::format("a: {}\nb: {}\n\n", a->name, b->name);
    for (const proof::Difference& difference : comparison->differences) {
      text += difference_text(difference, *a, *b, names, screen);
    }
    if (comparison->has_more) text += screen.wrap("... and more; --most N shows more classes of packets") + "\n";
  }
  const std::string lines = invocation.arguments.has("--text") ? text_difference(a->rules, b->rules, screen) : "";
  if (!lines.empty()) text += (text.empty() ? "" : "\n") + lines;
  if (comparison->is_same()) {
    text +=
        fmt::format("{}: {} and {} do the same to every packet.\n", screen.paint(Ink::kGood, "Same"), a->name, b->name);
  } else {
    const size_t count = comparison->differences.size();
    text += fmt::format("\n{}: {}{} {} of packets.\n", screen.paint(Ink::kBad, "Different"),
                        comparison->has_more ? "at least " : "", count, count == 1 ? "class" : "classes");
  }
  print(text);
  return status;
}

}  // namespace

constinit const Command kDiff{
    .name = "diff",
    .group = Group::kInspect,
    .summary = "Compare two rule sets by what they do to every packet",
    .description =
        "Says whether two rule sets do the same to every packet: verdict, destination after NAT, masquerading. Order, "
        "chains and wording do not matter. Packets that are treated differently are shown in classes, each by one "
        "packet, what both sides do to it, and the rule and policy line that decide. Logging and marks that no rule "
        "tests are not compared; --text shows them.",
    .options = kDiffOptions,
    .operands =
        {.name = "A B",
         .help = "The two: live, a built-in profile, a policy file (.toml), or v4.rules[,v6.rules]. Without them the "
                 "policy in charge and live; with one, that and live",
         .most = 2,
         .completion = Completion::kOperand},
    .example =
        "sudo tails-iptc diff\n"
        "tails-iptc diff tails tails-i2p\n"
        "tails-iptc --json diff tails v4.rules,v6.rules",
    .run = run_diff,
};

}  // namespace tails::cli
