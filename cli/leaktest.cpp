#include <array>
#include <chrono>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/html_page.h"
#include "cli/leak_matrix.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kLeaktestOptions{
    OptionSpec{.name = "--quick", .help = "Plain TCP and UDP only, no odd packets"},
    OptionSpec{.name = "--format", .help = "How to show the result", .choices = "table|json|html", .fallback = "table"},
};

std::string verdict(const leaktest::Matrix& matrix) {
  const size_t leaks = matrix.leaks();
  const size_t broken = matrix.broken();
  if (leaks + broken == 0) return "No leak, and what must work works";
  return fmt::format("{} leak{}, {} broken", leaks, leaks == 1 ? "" : "s", broken);
}

std::string summary(const leaktest::Matrix& matrix, std::string_view name, std::chrono::duration<double> time,
                    const Screen& screen) {
  const Ink ink = matrix.leaks() > 0 ? Ink::kBad : matrix.broken() > 0 ? Ink::kWarning : Ink::kGood;
  return fmt::format("{}: {}, {} ways tried, {} packets on the cables.  {}\n", screen.paint(ink, verdict(matrix)), name,
                     matrix.outcomes.size(), matrix.packets,
                     screen.paint(Ink::kFaint, fmt::format("{:.1f} s", time.count())));
}

Result<ExitStatus> run_leaktest(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const Result<Operand> operand = load_operand_or_policy(invocation, environment);
  if (!operand) return tl::unexpected(operand.error());
  const Result<policy::Policy> policy = policy_for(*operand, invocation.global, environment);
  if (!policy) return tl::unexpected(policy.error());
  const bool is_quiet = invocation.global.verbosity < 0;
  const Clock::time_point start = Clock::now();
  const auto matrix =
      try_leaks(*policy, operand->rules, invocation.arguments.has("--quick"), is_quiet ? nullptr : &invocation.err);
  if (!matrix) return tl::unexpected(matrix.error());
  const std::chrono::duration<double, std::milli> time = Clock::now() - start;
  const bool is_tight = matrix->leaks() + matrix->broken() == 0;
  if (invocation.global.json || invocation.arguments.value("--format") == "json") {
    print(json::leaks(*matrix, time));
  } else if (invocation.arguments.value("--format") == "html") {
    print(html::page("tails-iptc: leak test", fmt::format("Tried: {}, {}", operand->name, html::now_text()),
                     verdict(*matrix) + ".", is_tight, {html::leaks(*matrix)},
                     {{"leaktest", json::leaks(*matrix, time)}}));
  } else {
    for (const std::string& notice : matrix->notices) log::notice(notice);
    const Screen& screen = invocation.out;
    print((is_quiet ? "" : leak_table_text(*matrix, screen) + "\n") + summary(*matrix, operand->name, time, screen));
  }
  return is_tight ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace

constinit const Command kLeaktest{
    .name = "leaktest",
    .group = Group::kInspect,
    .summary = "Try every way out on the real kernel, in throw-away networks, and watch the wires",
    .description =
        "Builds a machine of private network namespaces with an Internet, a LAN and the policy's guests around it, "
        "puts "
        "the rules in force there by the same transaction as `apply`, and tries with real sockets: every account of "
        "the "
        "policy and one that it does not know, to every kind of destination, by TCP, UDP, raw and ICMP packets, IPv6, "
        "bound interfaces, foreign addresses, fragments, odd flags and other users' flows. A capture at the far ends "
        "of "
        "the cables decides what got out. Also tried: that what must work works.\n\n"
        "The rules tried are the policy's, or those of X; what is expected is always what the policy says. The rules "
        "and "
        "networks of this machine are not touched. Exit status 1 means that something leaked or is broken.",
    .options = kLeaktestOptions,
    .operands = {.name = "X", .help = kOperandHelp, .most = 1, .completion = Completion::kOperand},
    .example =
        "sudo tails-iptc leaktest\n"
        "sudo tails-iptc leaktest live\n"
        "sudo tails-iptc --json leaktest --quick v4.rules,v6.rules",
    .run = run_leaktest,
};

}  // namespace tails::cli
