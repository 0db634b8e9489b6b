#include <array>
#include <chrono>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/flow_options.h"
#include "cli/flow_words.h"
#include "cli/live_system.h"
#include "cli/log.h"
#include "cli/progress.h"
#include "conntrack/removal.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

constexpr std::array kConntrackFlushOptions{
    OptionSpec{.name = "--revoked",
               .help = "Only flows that the rules in force would not grant if they were opened now"},
    OptionSpec{.name = "--dead-source",
               .help = "Only flows of addresses that this machine no longer has (with --revoked: these as well)"},
    kUserOption,
    kToOption,
    kFromOption,
    kProtocolOption,
    kMarkOption,
    kZoneOption,
};

Result<ExitStatus> run_conntrack_flush(const Invocation& invocation) {
  const auto start = std::chrono::steady_clock::now();
  const policy::SystemEnvironment environment;
  const auto filter = flow_filter(invocation.arguments);
  if (!filter) return tl::unexpected(filter.error());
  const auto user = flow_user(invocation, environment);
  if (!user) return tl::unexpected(user.error());
  conntrack::Selection selection;
  selection.filter = *filter;
  selection.user = *user;
  selection.revoked = invocation.arguments.has("--revoked");
  selection.dead = invocation.arguments.has("--dead-source");

  ruleset::RuleSet rules;
  if (selection.revoked) {
    auto live = iptc::read_live(LiveSystem().get());
    if (!live) {
      Error& error = live.error();
      error.remedy += fmt::format("{}No flow was removed.", error.remedy.empty() ? "" : " ");
      return tl::unexpected(error);
    }
    rules = std::move(live->rules);
  }
  progress::stage("Removing flows");
  const auto report = conntrack::remove_flows(selection, [&] { return std::move(rules); });
  if (!report) return tl::unexpected(report.error());
  if (!report->owners_known && (selection.revoked || selection.user)) {
    log::warning("this kernel does not list all sockets; flows without a known owner count as revoked");
  }
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  if (invocation.global.json) {
    print(fmt::format(
        R"({{"flows_removed":{},"flows_seen":{},"flows_gone":{},"sockets_ended":{},"sockets_left":{},"milliseconds":{:.3f}}})"
        "\n",
        report->removed, report->seen, report->gone, report->sockets_ended, report->sockets_left, time.count()));
  } else if (invocation.global.verbosity >= 0) {
    std::string text = removal_text(*report);
    text[0] = 'R';
    print(fmt::format("{}.  {}\n", text, invocation.out.paint(Ink::kFaint, fmt::format("{:.1f} ms", time.count()))));
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kConntrackFlush{
    .name = "conntrack flush",
    .group = Group::kRules,
    .summary = "Remove live flows and end their sockets",
    .description =
        "Removes the flows that all the options name; without options, every flow. The sockets at both ends are ended "
        "if they are on this machine, so that programs learn at once (ECONNABORTED). Under a policy only a first "
        "packet opens a flow: also what the policy allows is cut and must be opened anew.",
    .options = kConntrackFlushOptions,
    .example =
        "sudo tails-iptc conntrack flush --revoked\n"
        "sudo tails-iptc conntrack flush --user amnesia --to 10.0.0.0/8",
    .run = run_conntrack_flush,
};

}  // namespace tails::cli
