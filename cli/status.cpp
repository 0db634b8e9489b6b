#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/confirmation.h"
#include "cli/host_findings.h"
#include "cli/json.h"
#include "cli/live_system.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/owner_tags.h"
#include "cli/prometheus.h"
#include "cli/session_entries.h"
#include "cli/status_report.h"
#include "cli/text_diff.h"
#include "cli/text_table.h"
#include "policy/lower.h"
#include "policy/system_environment.h"
#include "ruleset/text_writer.h"

namespace tails::cli {
namespace {

constexpr std::array kStatusOptions{
    OptionSpec{.name = "--prometheus",
               .value = "FILE",
               .help = "Also write the figures there, as node_exporter's textfile collector reads them",
               .completion = Completion::kFile},
};

using State = StatusReport::State;

std::string differing_tables(const StatusReport& report) {
  std::vector<std::string> names;
  for (const StatusReport::Table& table : report.tables) {
    if (!table.as_wanted) names.push_back(fmt::format("{} {}", family_text(table.family), to_string(table.table)));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string headline(const StatusReport& report, const Screen& screen) {
  switch (report.state) {
    case State::kInForce: return fmt::format("{} policy \"{}\".", screen.paint(Ink::kGood, "In force:"), report.policy);
    case State::kOpen:
      return fmt::format("{} this machine has no filter. `tails-iptc apply` puts policy \"{}\" in place.",
                         screen.paint(Ink::kBad, "Open:"), report.policy);
    case State::kLockedDown:
      return fmt::format("{} everything is blocked. `tails-iptc apply` puts policy \"{}\" in place.",
                         screen.paint(Ink::kWarning, "Locked down:"), report.policy);
    case State::kHalfWay:
      return fmt::format(
          "{} a transaction was interrupted; only established connections go on. `tails-iptc apply` puts policy \"{}\" "
          "in "
          "place.",
          screen.paint(Ink::kWarning, "Half-way:"), report.policy);
    case State::kDrift:
      return fmt::format("{} the live rules are not those of policy \"{}\": {} differ{}. `tails-iptc apply` mends it.",
                         screen.paint(Ink::kBad, "Drift:"), report.policy, differing_tables(report),
                         std::ranges::count(report.tables, false, &StatusReport::Table::as_wanted) == 1 ? "s" : "");
  }
  return "";
}

/// The first lines that differ: enough to see who meddled, not a second `apply --dry-run`.
std::string drift_text(const StatusReport& report, const ruleset::RuleSet& wanted, const ruleset::RuleSet& live,
                       const Screen& screen) {
  constexpr size_t kFew = 12;
  std::string text;
  for (const StatusReport::Table& table : report.tables) {
    if (table.as_wanted) continue;
    const ruleset::Table open = ruleset::Table::open(table.family, table.table);
    const ruleset::Table* should = wanted.find(table.family, table.table);
    const ruleset::Table* is = live.find(table.family, table.table);
    const std::string before = ruleset::write_save(should == nullptr ? open : *should);
    const std::string after = ruleset::write_save(is == nullptr ? open : *is);
    std::vector<LineChange> changes = line_changes(before, after);
    const size_t all = changes.size();
    changes.resize(std::min(all, kFew));
    text +=
        fmt::format("\n{} {}\n{}", family_text(table.family), to_string(table.table), changes_text(changes, screen, 2));
    if (all > kFew) text += fmt::format("  ... and {} more lines\n", all - kFew);
  }
  return text;
}

std::string entries_text(const StatusReport& report, const Screen& screen) {
  using Align = TextTable::Align;
  TextTable table(
      {{"packets", Align::kRight}, {"bytes", Align::kRight}, {"verdict"}, {"policy entry", Align::kLeft, true}});
  for (const StatusReport::Entry& entry : report.entries) {
    const bool is_used = entry.counters.packets > 0;
    table.add(
        {{fmt::format("{}", entry.counters.packets), is_used ? Ink::kStrong : Ink::kFaint},
         {fmt::format("{}", entry.counters.bytes), is_used ? Ink::kPlain : Ink::kFaint},
         {entry.verdict, is_used ? Ink::kPlain : Ink::kFaint},
         {fmt::format("{} ({})", entry.origin.entry.empty() ? "the rest" : entry.origin.entry, to_string(entry.origin)),
          is_used ? Ink::kPlain : Ink::kFaint}});
  }
  return table.empty() ? "" : "\n" + table.render(screen, 2);
}

std::string others_text(const StatusReport& report) {
  if (report.other_tables.empty()) return {};
  std::string text = "\nOther tables with rules, which no policy governs:\n";
  for (const RuleCount& table : report.other_tables) {
    text += fmt::format("  {} {}: {} rule{}\n", family_text(table.family), to_string(table.table), table.rules,
                        table.rules == 1 ? "" : "s");
  }
  return text;
}

std::string kernel_text(const KernelOffer& kernel, const Screen& screen) {
  std::string text = fmt::format("Linux {} ", kernel.release);
  if (kernel.refusal) {
    text += fmt::format("{} what the policy needs: {}.", screen.paint(Ink::kBad, "lacks"), *kernel.refusal);
  } else if (!kernel.instead.empty()) {
    text += fmt::format("offers what the policy needs, in part in an older way. {}", fmt::join(kernel.instead, " "));
  } else {
    text += "offers all that the policy needs.";
  }
  if (!kernel.has_ipv6) text += " It has no IPv6.";
  return "\n" + screen.wrap(text) + "\n";
}

Result<ExitStatus> run_status(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  Result<Operand> wanted = load_policy_in_charge(invocation.global, environment);
  if (!wanted) return tl::unexpected(wanted.error());
  const LiveSystem system;
  const Result<iptc::Live> live = iptc::read_live(system.get());
  if (!live) return tl::unexpected(live.error());
  if (writes_owner_tags(live->rules)) {
    if (const Result<void> added = add_owner_tags(*wanted); !added) return tl::unexpected(added.error());
    log::warning(kTagWarning);
  }
  const Result<bool> has_ipv6 = system.has_ipv6();
  if (!has_ipv6) return tl::unexpected(has_ipv6.error());
  ruleset::RuleSet locked = policy::lockdown();
  if (!*has_ipv6) {
    // Nothing of IPv6 can pass, and no table can say so.
    for (ruleset::RuleSet* rules : {&wanted->rules, &locked}) {
      std::erase_if(rules->tables, [](const ruleset::Table& table) { return table.family == Family::kIpv6; });
    }
  }

  // What is live was fitted to this kernel.
  auto kernel = fit_to_kernel(system.get().kernel, wanted->rules, invocation.global.json);
  if (!kernel) return tl::unexpected(kernel.error());

  StatusReport report = status_of(wanted->policy->name, wanted->rules, *live, locked);
  report.kernel = *std::move(kernel);
  const Result<std::optional<Waiting>> waits = waiting_confirmation(system.get());
  if (!waits) log::warning(waits.error().message);
  const std::optional<Waiting> waiting = waits.value_or(std::nullopt);
  report.findings = find_on_host(*wanted->policy);
  if (const auto file = invocation.arguments.value("--prometheus")) {
    const auto written = iptc::write_durable_file(system.get().files, std::string(*file),
                                                  prometheus(report, session::entries().size()), 0644);
    if (!written) return tl::unexpected(written.error());
  }
  if (invocation.global.json) {
    print(json::status(report, waiting));
  } else if (invocation.global.verbosity >= 0) {
    const Screen& screen = invocation.out;
    std::string text = screen.wrap(headline(report, screen)) + "\n";
    if (waiting) text += screen.wrap(waiting_text(*waiting, screen)) + "\n";
    if (report.state == State::kDrift) text += drift_text(report, wanted->rules, live->rules, screen);
    text += entries_text(report, screen) + others_text(report) + on_host_text(report.findings, screen) +
            kernel_text(report.kernel, screen);
    print(text);
  }
  return report.state == State::kInForce ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace

constinit const Command kStatus{
    .name = "status",
    .group = Group::kInspect,
    .summary = "Say whether the policy is in force, and what it let through and stopped",
    .description =
        "Compares the rules in the kernel with the policy's. Where they are the same, it adds up the counters "
        "for each entry of the policy; where not, it names what differs. Also names other xtables tables that "
        "have rules, says whether a change still waits to be confirmed, and whether this kernel offers what the policy "
        "needs (with --json all that it offers; asking "
        "loads modules, as apply does). Names, each with its remedy, what on this machine undoes the policy: kernel "
        "parameters, resolvers, proxies, left-over namespaces, and what else filters (nf_tables, ufw, firewalld, "
        "docker, eBPF). Exit status 0 means in force, 1 drift or not in force.",
    .options = kStatusOptions,
    .example =
        "sudo tails-iptc status\n"
        "sudo tails-iptc -q status || sudo tails-iptc apply\n"
        "sudo tails-iptc -q status --prometheus /run/tails-iptc.prom",
    .run = run_status,
};

}  // namespace tails::cli
