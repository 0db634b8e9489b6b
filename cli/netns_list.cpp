#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "cli/guests.h"
#include "cli/text_table.h"
#include "policy/grammar.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

std::string reaches(const policy::Namespace& space) {
  std::vector<std::string> words;
  for (const policy::PortGrant& grant : space.services) words.push_back(to_string(grant));
  if (space.internet) words.emplace_back("Internet");
  return fmt::format("{}", fmt::join(words, ", "));
}

TextTable::Cell state_cell(const GuestReport& report) {
  if (report.state == host::GuestState::kAbsent) return {"not there", Ink::kFaint};
  if (report.state == host::GuestState::kPartial) return {"half-made", Ink::kWarning};
  // Whoever is root inside can change them; the host's rules stand all the same.
  if (!report.rules_as_wanted.value_or(false)) return {"up, other rules", Ink::kWarning};
  return {"up", Ink::kGood};
}

Result<ExitStatus> run_netns_list(const Invocation& invocation) {
  const LiveSystem system;
  const policy::SystemEnvironment environment;
  const Result<GuestPolicy> guests = load_guest_policy(system, invocation.global, environment);
  if (!guests) return tl::unexpected(guests.error());
  std::vector<GuestReport> reports;
  for (const policy::Namespace& space : guests->policy.namespaces) {
    const auto report = examine(space);
    if (!report) return tl::unexpected(report.error());
    reports.push_back(*report);
  }
  if (invocation.global.json) {
    print(guests_json(reports));
    return ExitStatus::kDone;
  }
  TextTable table({{"namespace"}, {"state"}, {"host"}, {"guest"}, {"reaches", TextTable::Align::kLeft, true}});
  for (const GuestReport& report : reports) {
    const policy::Namespace& space = *report.space;
    table.add({{space.name, Ink::kName},
               state_cell(report),
               {to_string(space.host)},
               {to_string(space.guest)},
               {reaches(space)}});
  }
  print(table.empty() ? fmt::format("Policy \"{}\" declares no namespace.\n", guests->policy.name)
                      : table.render(invocation.out));
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kNetnsList{
    .name = "netns list",
    .group = Group::kInspect,
    .summary = "Name the policy's network namespaces and what stands of them",
    .description =
        "One line for each namespace of the policy in force: whether it is up, half-made (a killed run; `netns up` "
        "mends it) or not there, its addresses, and what it may reach. \"other rules\" means that somebody changed the "
        "rules inside.",
    .options = {},
    .example = "sudo tails-iptc netns list",
    .run = run_netns_list,
};

}  // namespace tails::cli
