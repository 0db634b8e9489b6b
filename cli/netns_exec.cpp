#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/guests.h"
#include "host/guest_entry.h"
#include "host/network_namespace.h"
#include "net/errno_words.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

constexpr std::array kNetnsExecOptions{
    OptionSpec{.name = "--user",
               .value = "U",
               .help = "Run the program as this user, with its groups. Without it: as root",
               .completion = Completion::kUser},
};

Result<ExitStatus> run_netns_exec(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments.operands();
  const LiveSystem system;
  const policy::SystemEnvironment environment;
  const Result<GuestPolicy> guests = load_guest_policy(system, invocation.global, environment);
  if (!guests) return tl::unexpected(guests.error());
  const auto chosen = choose_namespaces(guests->policy, {words.front()});
  if (!chosen) return tl::unexpected(chosen.error());
  const policy::Namespace& space = *chosen->front();
  const auto state = host::state_of(guest_of(space));
  if (!state) return tl::unexpected(state.error());
  const auto opened = host::network_namespace::open(space.name);
  if (!opened) return tl::unexpected(opened.error());
  if (*state != host::GuestState::kUp || !*opened) {
    return fail(ErrorKind::kRefused, fmt::format("namespace \"{}\" is {}", space.name, in_words(*state)),
                fmt::format("`tails-iptc netns up {}` makes it.", space.name));
  }
  std::optional<host::Account> account;
  if (const auto name = invocation.arguments.value("--user")) {
    const Result<Uid> uid = find_account(*name, guests->global, accounts_of(guests->policy), environment);
    if (!uid) return tl::unexpected(uid.error());
    auto found = host::find_account(*uid);
    if (!found) return tl::unexpected(found.error());
    account = std::move(*found);
  }

  if (auto entered = host::enter_network((*opened)->get()); !entered) return tl::unexpected(entered.error());
  // Without Internet access there is no resolver to ask: the machine's own file stands.
  const std::string& resolvers = guests->policy.host.clearnet_resolver_file;
  if (space.internet && !resolvers.empty()) {
    if (auto used = host::use_resolver_file(resolvers); !used) return tl::unexpected(used.error());
  }
  if (account) {
    if (auto became = host::become(*account); !became) return tl::unexpected(became.error());
  }
  std::vector<char*> program;
  for (size_t i = 1; i < words.size(); ++i) program.push_back(const_cast<char*>(words[i].c_str()));
  program.push_back(nullptr);
  // In our place: its exit status, its signals and its terminal are the caller's.
  execvp(program.front(), program.data());
  return fail(ErrorKind::kRefused, fmt::format("cannot run \"{}\": {}", words[1], errno_words(errno)),
              "Nothing was started.", errno);
}

}  // namespace

constinit const Command kNetnsExec{
    .name = "netns exec",
    .group = Group::kRules,
    .summary = "Run a program inside a network namespace",
    .description =
        "Runs the program inside a namespace that is up, as the user given and in this terminal; its exit status is "
        "this command's. Inside a namespace with Internet access /etc/resolv.conf is the policy's "
        "clearnet_resolver_file. The program is looked up in PATH. Before it starts, this command fails with exit "
        "status 2 or 3.",
    .options = kNetnsExecOptions,
    .operands = {.name = "NAME -- COMMAND [ARGUMENT...]",
                 .help = "The namespace, then the program and its arguments",
                 .least = 2,
                 .most = 100000},
    .example =
        "sudo tails-iptc netns exec clearnet --user amnesia -- curl http://192.0.2.1/\n"
        "sudo tails-iptc netns exec tbb -- ip address",
    .run = run_netns_exec,
};

}  // namespace tails::cli
