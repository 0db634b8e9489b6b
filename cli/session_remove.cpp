#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/log.h"
#include "cli/run_lock.h"
#include "cli/session_change.h"
#include "cli/session_entries.h"
#include "cli/transaction_report.h"

namespace tails::cli {
namespace {

Result<ExitStatus> run_session_remove(const Invocation& invocation) {
  const Result<RunLock> lock = RunLock::take(invocation.global.wait);
  if (!lock) return report_refusal(invocation, lock.error(), {});
  const std::string& word = invocation.arguments.operands().front();
  uint32_t number = 0;
  (void)std::from_chars(word.data(), word.data() + word.size(), number);
  auto session = session::documents_or_refuse();
  if (!session) return report_refusal(invocation, session.error(), {});
  const std::vector<session::Entry> entries = session::entries(*session);
  const auto found = std::ranges::find(entries, number, &session::Entry::number);
  const bool is_listed = found != entries.end();
  const auto half = is_listed ? Result<std::optional<session::Entry>>() : session::half_removed(number);
  if (!half) return report_refusal(invocation, half.error(), {});
  if ((!is_listed && !*half) || std::to_string(number) != word) {
    return fail(ErrorKind::kUsage, fmt::format("this session has no exception \"{}\"", word),
                "`tails-iptc session list` numbers them.");
  }
  const session::Entry entry = is_listed ? *found : **half;
  SessionChange change;
  change.session = std::move(*session);
  std::erase_if(change.session, [&](const policy::Document& document) { return document.name == entry.path; });
  if (is_listed) {
    // Before the transaction: a run that is killed in between must not have the next `apply` grant it again.
    change.before = [&] { return session::set_aside(entry); };
    change.take_back = [&] { return session::put_back(entry); };
  } else {
    // A run was killed in between; this one finishes its work.
    change.before = change.take_back = [] { return Result<void>{}; };
  }
  change.after = [&]() -> Result<void> {
    // The rules are those without it, and the file is no exception any more.
    if (const auto forgotten = session::forget(entry); !forgotten) {
      log::warning(fmt::format("{}; `tails-iptc session remove {}` finishes that", forgotten.error().message, number));
    }
    return {};
  };
  change.success = fmt::format("Removed exception {}", number);
  return change_session(invocation, change);
}

}  // namespace

constinit const Command kSessionRemove{
    .name = "session remove",
    .group = Group::kRules,
    .summary = "End an exception before the session does",
    .description =
        "Puts the policy in force without it, in one transaction, and removes the flows that only the exception "
        "allowed. A namespace is to be taken down first (`netns down NAME`).",
    .options = {},
    .operands = {.name = "NUMBER", .help = "As `session list` has it", .least = 1, .most = 1},
    .example = "sudo tails-iptc session remove 1",
    .run = run_session_remove,
};

}  // namespace tails::cli
