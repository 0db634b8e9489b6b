#include <array>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/run_lock.h"
#include "cli/session_change.h"
#include "cli/session_entries.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

constexpr std::array kSessionAddOptions{
    OptionSpec{.name = "--name", .value = "NAME", .help = "Of the service or namespace"},
    OptionSpec{.name = "--at", .value = "ADDR", .help = "service: the loopback address, 127.0.0.1 or ::1"},
    OptionSpec{.name = "--ports", .value = "PORT[,...]", .help = "service: tcp/9050, udp/5000-5010, tcp"},
    OptionSpec{.name = "--from", .value = "PORT[,...]", .help = "service: only from these source ports"},
    OptionSpec{
        .name = "--allow", .value = "USER[,...]", .help = "service: who may reach it", .completion = Completion::kUser},
    OptionSpec{.name = "--deny",
               .value = "USER[,...]",
               .help = "service: who may not, whatever else says so",
               .completion = Completion::kUser},
    OptionSpec{.name = "--host", .value = "ADDR/LENGTH", .help = "namespace: the host's end, 10.200.1.21/30"},
    OptionSpec{.name = "--services", .value = "PORT[,...]", .help = "namespace: what it reaches on the host's end"},
    OptionSpec{.name = "--internet", .help = "namespace: forward to the outside"},
    OptionSpec{.name = "--user", .value = "USER", .help = "direct: who", .completion = Completion::kUser},
    OptionSpec{.name = "--out", .value = "PORT[,...]", .help = "direct: tcp, udp/53"},
    OptionSpec{.name = "--lan-dns", .help = "direct: may ask resolvers of the LAN"},
};

Result<ExitStatus> run_session_add(const Invocation& invocation) {
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock) return report_refusal(invocation, lock.error(), {});
  const Result<policy::Document> document =
      session::make(invocation.arguments.operands().front(), invocation.arguments);
  if (!document && document.error().kind == ErrorKind::kRefused)
    return report_refusal(invocation, document.error(), {});
  if (!document) return tl::unexpected(document.error());
  SessionChange change;
  auto session = session::documents_or_refuse();
  if (!session) return report_refusal(invocation, session.error(), {});
  change.session = std::move(*session);
  change.session.push_back(*document);
  change.must_fit = true;
  change.before = [&] { return session::prepare(*document); };
  change.take_back = [&]() -> Result<void> {
    session::discard(*document);
    return {};
  };
  // Behind the transaction: a run that is killed in between leaves no exception that nobody was told of.
  change.after = [&] { return session::keep(*document); };
  const std::string file = document->name.substr(document->name.rfind('/') + 1);
  change.success = fmt::format("Added exception {}, until reboot", std::stoul(file));
  return change_session(invocation, change);
}

}  // namespace

constinit const Command kSessionAdd{
    .name = "session add",
    .group = Group::kRules,
    .summary = "Add an exception to the policy until reboot",
    .description =
        "The exception is an entry as the policy file has it: a [[service]], a [[namespace]] or a [[direct]], its keys "
        "given as options. It is proved with the policy before it is accepted, and put in force in one transaction "
        "with the rest. It stays until it is removed or the machine reboots, through `apply`, `reconfigure`, other "
        "policies and edits of the policy file. What would open the Internet, Tor's TransPort, or loopback to a direct "
        "user is refused with a packet as example.",
    .options = kSessionAddOptions,
    .operands = {.name = "KIND", .help = "service, namespace or direct", .least = 1, .most = 1},
    .example =
        "sudo tails-iptc session add service --name Printer --at 127.0.0.1 --ports tcp/631 --allow lp\n"
        "sudo tails-iptc session add namespace --name chat --host 10.200.1.21/30 --services tcp/9050",
    .run = run_session_add,
};

}  // namespace tails::cli
