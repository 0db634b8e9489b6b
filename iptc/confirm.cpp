#include "iptc/confirm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sstream>

#include "iptc/closing.h"
#include "iptc/kernel/namespace_id.h"
#include "iptc/lock.h"
#include "iptc/stepper.h"
#include "iptc/tables.h"
#include "net/errno_words.h"

namespace tails::iptc {
namespace {

using std::chrono::milliseconds;

Result<std::string> file_path(System system, const std::string& run_directory) {
  const auto here = kernel::known_namespace_id(system.kernel);
  if (!here) return tl::unexpected(here.error());
  return fmt::format("{}/confirm.{}", run_directory, *here);
}

/// Gone it is also where a first try did its work and reported a failure.
int remove_surely(Files& files, const std::string& path) {
  int result = files.remove(path);
  if (result < 0 && result != -ENOENT) result = files.remove(path);
  return result == -ENOENT ? 0 : result;
}

/// Field 22 of /proc/PID/stat, counted behind the name, which may hold anything; 0 where only the process's remains are
/// there, that nobody asked about yet. Error: the file cannot be read, for one because there is no such process.
Result<uint64_t> find_start_time(Files& files, pid_t process) {
  const auto text = read_file(files, fmt::format("/proc/{}/stat", process));
  if (!text) return tl::unexpected(text.error());
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream words(text->substr(name_end + 1));
  std::string word;
  words >> word;
  if (word == "Z" || word == "X") return 0;
  constexpr int kFieldsBehindState = 19;
  for (int i = 0; i < kFieldsBehindState; ++i) words >> word;
  uint64_t time = 0;
  std::istringstream(word) >> time;
  return time;
}

uint64_t start_time(Files& files, pid_t process) { return find_start_time(files, process).value_or(0); }

/// Also where nothing is known of it.
bool was_open(const std::vector<TableChange>& before) {
  return before.empty() || std::ranges::any_of(before, [](const TableChange& change) {
           return change.name == ruleset::TableName::kFilter && is_open(change.wanted);
         });
}

std::string lock_path(const Options& options) {
  return options.lock_path.empty() ? Lock::default_path() : options.lock_path;
}

/// One at a time for whatever reads which policy is in force and puts it in force again: `apply` and `reconfigure` hold
/// this as long as they run (cli/run_lock). A keeper that acted in their midst would be undone by them.
std::string run_lock_path(const Options& options) { return options.run_directory + "/lock"; }

Result<void> write_pending(System system, const Options& options, const std::string& path, const Pending& pending,
                           const std::vector<TableChange>& before) {
  std::vector<kernel::RawTable> tables;
  for (const TableChange& change : before) tables.push_back(change.wanted);
  system.files.make_directory(options.run_directory, 0755);
  return write_file(system.files, path, print_pending(pending, tables), 0600);
}

/// Starts a keeper for `deadline` and ties it to the world. The caller holds the lock.
Result<Pending> start_until(System system, const Options& options, std::vector<TableChange> before,
                            milliseconds deadline) {
  const auto path = file_path(system, options.run_directory);
  if (!path) return tl::unexpected(path.error());
  Pending pending;
  pending.deadline = deadline;
  pending.blocks = was_open(before);
  const auto tables = std::make_shared<std::vector<TableChange>>(std::move(before));
  const int keeper = system.files.start([system, options, tables, path = *path, deadline](pid_t self) {
    system.kernel.reopen();
    keep(system, options, path, *tables, self, deadline);
  });
  if (keeper < 0) {
    return fail(
        ErrorKind::kRefused,
        fmt::format("cannot start the process that would bring the state before back: {}", errno_words(-keeper)), {},
        -keeper);
  }
  pending.keeper = keeper;
  const auto started = find_start_time(system.files, keeper);
  if (!started || *started == 0) {
    system.files.end(keeper);
    if (!started) return tl::unexpected(started.error());
    return fail(ErrorKind::kRefused, "the process that would bring the state before back has ended already");
  }
  pending.started = *started;
  // Without the file the keeper does nothing: killed between these two lines, nothing was changed and nothing will be.
  const auto written = write_pending(system, options, *path, pending, *tables);
  if (written) return pending;
  system.files.end(keeper);
  return tl::unexpected(written.error());
}

/// The tables of the file, as changes to be made. Empty where they are damaged: all that is known then is that
/// nobody confirmed.
std::vector<TableChange> changes_before(std::string_view text) {
  std::vector<TableChange> changes;
  auto tables = parse_tables_before(text);
  if (!tables) return changes;
  for (kernel::RawTable& table : *tables) {
    const auto name = ruleset::parse_table_name(table.name);
    if (!name) return {};
    changes.push_back({table.family, *name, {}, std::move(table), 0, false});
  }
  return changes;
}

/// Puts `before` back, or blocks all traffic. The caller holds the lock, or could not have it.
TakenBack take_back(System system, const Options& options, std::vector<TableChange>& before) {
  TakenBack result = TakenBack::kRestored;
  if (was_open(before) || !restore(system.kernel, system.files, before)) {
    result = close_all(system.kernel, options.lockdown) ? TakenBack::kBlocked : TakenBack::kFailed;
  }
  if (options.after_taking_back) options.after_taking_back();
  return result;
}

struct Found {
  std::string path;
  Pending pending;
  std::string text;
};

/// Nullopt where nothing waits. Error: it may be there, and cannot be read.
Result<std::optional<Found>> find_pending(System system, const std::string& run_directory) {
  const auto path = file_path(system, run_directory);
  auto text = path ? read_file(system.files, *path) : Result<std::string>(tl::unexpected(path.error()));
  if (!text && text.error().system_errno == ENOENT) return std::nullopt;
  if (!text) {
    Error error = text.error();
    error.message = "cannot tell whether an earlier change waits to be confirmed: " + error.message;
    return tl::unexpected(std::move(error));
  }
  auto pending = parse_pending(*text);
  if (!pending) {
    // Its keeper takes the change back all the same.
    return fail(ErrorKind::kRefused,
                fmt::format("cannot tell whether an earlier change waits to be confirmed: {} is damaged", *path),
                "Wait for the state before to come back, or remove the file where no process waits any more.", EBADMSG);
  }
  pending->has_keeper = start_time(system.files, pending->keeper) == pending->started;
  return Found{*path, *pending, *std::move(text)};
}

/// For whoever finds a keeper dead and the time over; holding the lock. What failed stays for the next one to mend.
TakenBack take_back_late(System system, const Options& options, const Found& found) {
  std::vector<TableChange> before = changes_before(found.text);
  const TakenBack result = take_back(system, options, before);
  if (result != TakenBack::kFailed) remove_surely(system.files, found.path);
  return result;
}

std::string_view state_after(TakenBack taken_back) {
  switch (taken_back) {
    case TakenBack::kRestored: return "that state is back now.";
    case TakenBack::kBlocked: return "all traffic is blocked now.";
    case TakenBack::kFailed: break;
  }
  return "neither could it be put back now, nor could all traffic be blocked.";
}

}  // namespace

Result<std::optional<Pending>> pending_confirmation(System system, const std::string& run_directory) {
  const auto found = find_pending(system, run_directory);
  if (!found) return tl::unexpected(found.error());
  if (!*found) return std::nullopt;
  return (*found)->pending;
}

Result<Pending> start_keeper(System system, const Options& options, std::vector<TableChange> before) {
  const auto pending = pending_confirmation(system, options.run_directory);
  if (!pending) return tl::unexpected(pending.error());
  if (*pending) {
    return fail(ErrorKind::kRefused, "an earlier change still waits to be confirmed",
                "Keep it with `tails-iptc confirm`, or wait for the state before to come back.");
  }
  return start_until(system, options, std::move(before), system.files.now() + *options.confirm_within);
}

void end_keeper(System system, const std::string& run_directory, const Pending& pending) {
  if (const auto path = file_path(system, run_directory)) remove_surely(system.files, *path);
  if (start_time(system.files, pending.keeper) == pending.started) system.files.end(pending.keeper);
}

Result<bool> overtake(System system, const std::string& run_directory) {
  const auto path = file_path(system, run_directory);
  if (!path) return tl::unexpected(path.error());
  const auto pending = pending_confirmation(system, run_directory);
  // Without its file a keeper does nothing, so that of one that cannot be read is as good as ended.
  if (pending && !*pending) return false;
  const int removed = remove_surely(system.files, *path);
  if (pending && start_time(system.files, (*pending)->keeper) == (*pending)->started) {
    system.files.end((*pending)->keeper);
  }
  if (removed == 0) return true;
  return fail(ErrorKind::kRefused, fmt::format("cannot remove {}: {}", *path, errno_words(-removed)), {}, -removed);
}

Result<void> confirm(System system, const Options& options) {
  // The keeper takes the lock as well before it acts: whoever is first has decided.
  const auto lock = Lock::take(system.files, lock_path(options), options.wait);
  if (!lock) return tl::unexpected(lock.error());
  const auto search = find_pending(system, options.run_directory);
  if (!search) return tl::unexpected(search.error());
  const std::optional<Found>& found = *search;
  if (!found) {
    return fail(ErrorKind::kRejected, "nothing waits to be confirmed",
                "If the time was over, the state before is back already: `tails-iptc status` tells.");
  }
  const Pending& pending = found->pending;
  if (!pending.has_keeper && system.files.now() >= pending.deadline) {
    const TakenBack result = take_back_late(system, options, *found);
    return fail(
        ErrorKind::kRejected, "the time to confirm is over",
        fmt::format("The process that should have brought the state before back was killed; {}", state_after(result)));
  }
  const int removed = remove_surely(system.files, found->path);
  if (removed < 0) {
    return fail(ErrorKind::kRefused, fmt::format("cannot remove {}: {}", found->path, errno_words(-removed)), {},
                -removed);
  }
  if (pending.has_keeper) system.files.end(pending.keeper);
  return {};
}

Result<Mended> mend_confirmation(System system, const Options& options) {
  Mended mended;
  // Nearly always there is nothing to do, and then the lock is nobody's business.
  const auto pending = pending_confirmation(system, options.run_directory);
  if (!pending) {
    mended.unknown = pending.error();
    return mended;
  }
  if (!*pending || (*pending)->has_keeper) return mended;
  const auto lock = Lock::take(system.files, lock_path(options), options.wait);
  if (!lock) return tl::unexpected(lock.error());
  const auto search = find_pending(system, options.run_directory);
  if (!search) return tl::unexpected(search.error());
  const std::optional<Found>& found = *search;
  if (!found || found->pending.has_keeper) return mended;
  if (system.files.now() >= found->pending.deadline) {
    mended.taken_back = take_back_late(system, options, *found);
    return mended;
  }
  auto started = start_until(system, options, changes_before(found->text), found->pending.deadline);
  if (!started) return tl::unexpected(started.error());
  mended.keeper_started = true;
  return mended;
}

void keep(System system, const Options& options, const std::string& path, std::vector<TableChange>& before, pid_t self,
          milliseconds deadline) {
  system.files.sleep_until(deadline);
  // Somebody who holds a lock for ever must not prevent the way back; somebody who does not wait at all must not make
  // us do so.
  constexpr milliseconds kLeastWait{5000};
  const milliseconds wait = std::max(options.wait, kLeastWait);
  const auto run_lock = Lock::take(system.files, run_lock_path(options), wait);
  const auto lock = Lock::take(system.files, lock_path(options), wait);
  constexpr int kLastTries = 60;
  // Nobody confirmed as long as the file is there, be it unreadable.
  auto text = read_file(system.files, path);
  for (int i = 0; !text && text.error().system_errno != ENOENT && i < kLastTries; ++i) {
    system.files.sleep(milliseconds(1000));
    text = read_file(system.files, path);
  }
  if (!text && text.error().system_errno == ENOENT) return;
  const auto pending = text ? parse_pending(*text) : std::nullopt;
  if (pending && pending->keeper != self) return;
  TakenBack result = take_back(system, options, before);
  for (int i = 0; result == TakenBack::kFailed && i < kLastTries; ++i) {
    system.files.sleep(milliseconds(1000));
    if (close_all(system.kernel, options.lockdown)) result = TakenBack::kBlocked;
  }
  // What failed to the end stays for whoever mends it.
  if (result != TakenBack::kFailed) remove_surely(system.files, path);
}

}  // namespace tails::iptc
