#include <array>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/chain_graph.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/operand.h"
#include "cli/rule_counts.h"
#include "cli/text_table.h"
#include "policy/system_environment.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

constexpr std::array kShowOptions{
    OptionSpec{.name = "--live", .help = "The rules in the kernel, with their counters, and not the policy's"},
    OptionSpec{.name = "--format",
               .help =
                   "How: a table for people, the text that iptables-restore reads, JSON, or a Graphviz graph of the "
                   "chains",
               .choices = "save|table|json|dot"},
    OptionSpec{
        .name = "--family", .help = "Only IPv4 or only IPv6; save takes 4 where it is not given", .choices = "4|6"},
};

std::string chain_heading(const ruleset::Chain& chain, bool with_counters, const Screen& screen) {
  std::string text = screen.paint(Ink::kName, chain.name);
  if (chain.policy) {
    const bool is_drop = *chain.policy == ruleset::ChainPolicy::kDrop;
    text += fmt::format("  at the end: {}",
                        screen.paint(is_drop ? Ink::kStrong : Ink::kWarning, is_drop ? "DROP" : "ACCEPT"));
    if (with_counters) text += fmt::format("  {} packets, {} bytes", chain.counters.packets, chain.counters.bytes);
  }
  return "  " + text + "\n";
}

std::string chain_rules(const ruleset::RuleSet& rules, const ruleset::Chain& chain, bool with_counters,
                        const UserNames& names, const Screen& screen) {
  using Align = TextTable::Align;
  std::vector<TextTable::Column> columns{{"#", Align::kRight}};
  if (with_counters) columns.insert(columns.end(), {{"packets", Align::kRight}, {"bytes", Align::kRight}});
  columns.insert(columns.end(), {{"if", Align::kLeft, true}, {"then"}, {"because of"}});
  TextTable table(columns);
  size_t number = 0;
  for (const ruleset::Rule& rule : chain.rules) {
    const ruleset::Origin* origin = rules.origin(rule.origin);
    std::vector<TextTable::Cell> row{{fmt::format("{}", ++number), Ink::kFaint}};
    if (with_counters) {
      row.push_back({fmt::format("{}", rule.counters.packets)});
      row.push_back({fmt::format("{}", rule.counters.bytes)});
    }
    row.push_back({tests_in_words(rule, names)});
    row.push_back({target_in_words(rule.target), Ink::kStrong});
    row.push_back({origin == nullptr ? "?" : fmt::format("{} {}", to_string(*origin), origin->entry), Ink::kFaint});
    table.add(std::move(row));
  }
  return table.render(screen, 4);
}

std::string tables_text(const ruleset::RuleSet& rules, bool with_counters, const UserNames& names,
                        const Screen& screen) {
  std::string text;
  for (const ruleset::Table& table : rules.tables) {
    text += fmt::format(
        "{}{}\n", text.empty() ? "" : "\n",
        screen.paint(Ink::kStrong, fmt::format("{}, {}", to_string(table.name), family_text(table.family))));
    for (const ruleset::Chain& chain : table.chains) {
      text += chain_heading(chain, with_counters, screen);
      if (!chain.rules.empty()) text += chain_rules(rules, chain, with_counters, names, screen);
    }
  }
  return text;
}

Result<ExitStatus> run_show(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const bool is_live = invocation.arguments.has("--live");
  Result<Operand> operand = is_live ? load_operand("live", invocation.global, environment)
                                    : load_policy_in_charge(invocation.global, environment);
  if (!operand) return tl::unexpected(operand.error());
  ruleset::RuleSet& rules = operand->rules;

  const std::string_view format =
      invocation.arguments.value("--format").value_or(invocation.global.json ? "json" : "table");
  const bool wants_v6 = invocation.arguments.value("--family") == "6";
  if (format == "save") {
    print(ruleset::write_save(rules, wants_v6 ? Family::kIpv6 : Family::kIpv4));
    return ExitStatus::kDone;
  }
  if (invocation.arguments.has("--family")) {
    const Family family = wants_v6 ? Family::kIpv6 : Family::kIpv4;
    std::erase_if(rules.tables, [&](const ruleset::Table& table) { return table.family != family; });
  }
  if (format == "json") {
    print(json::rule_set(rules));
  } else if (format == "dot") {
    print(chain_graph(rules));
  } else {
    print(tables_text(rules, is_live, user_names(invocation.global, operand->accounts, environment), invocation.out));
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kShow{
    .name = "show",
    .group = Group::kInspect,
    .summary = "Print the rules of the policy, or those in the kernel",
    .description =
        "Prints the rules that `apply` would put in place, each with the policy line that wants it. With --live "
        "those of the kernel, with their counters; their policy lines are known where `apply` put them there "
        "and nobody changed the table since.",
    .options = kShowOptions,
    .example =
        "tails-iptc show\n"
        "tails-iptc --policy tails-i2p show --format save --family 6 | ip6tables-restore --test\n"
        "tails-iptc show --format dot | dot -Tsvg > chains.svg",
    .run = run_show,
};

}  // namespace tails::cli
