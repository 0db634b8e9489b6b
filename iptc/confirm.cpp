#include "iptc/confirm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <sstream>

#include "iptc/closing.h"
#include "iptc/kernel/words.h"
#include "iptc/lock.h"
#include "iptc/stepper.h"
#include "iptc/tables.h"

namespace tails::iptc {
namespace {

using std::chrono::milliseconds;

std::string file_path(System system, const std::string& run_directory) {
  return fmt::format("{}/confirm.{}", run_directory, system.kernel.namespace_id());
}

/// Field 22 of /proc/PID/stat, counted behind the name, which may hold anything; 0 where there is no such process.
uint64_t start_time(Files& files, pid_t process) {
  const auto text = read_file(files, fmt::format("/proc/{}/stat", process));
  if (!text) return 0;
  const size_t name_end = text->rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream words(text->substr(name_end + 1));
  std::string word;
  constexpr int kFieldsBehindName = 20;
  for (int i = 0; i < kFieldsBehindName; ++i) words >> word;
  uint64_t time = 0;
  std::istringstream(word) >> time;
  return time;
}

std::string print(const Pending& pending) {
  return fmt::format("tails-iptc confirm 1\n{} {} {}\n", pending.keeper, pending.started, pending.deadline.count());
}

std::optional<Pending> parse(const std::string& text) {
  std::istringstream words(text);
  std::string program, kind;
  int version = 0;
  Pending pending;
  milliseconds::rep deadline = 0;
  if (!(words >> program >> kind >> version >> pending.keeper >> pending.started >> deadline) || version != 1) {
    return std::nullopt;
  }
  pending.deadline = milliseconds(deadline);
  return pending;
}

bool was_open(const std::vector<TableChange>& before) {
  return std::ranges::any_of(before, [](const TableChange& change) {
    return change.name == ruleset::TableName::kFilter && is_open(change.wanted);
  });
}

std::string lock_path(const Options& options) {
  return options.lock_path.empty() ? Lock::default_path() : options.lock_path;
}

}  // namespace

std::optional<Pending> pending_confirmation(System system, const std::string& run_directory) {
  const auto text = read_file(system.files, file_path(system, run_directory));
  if (!text) return std::nullopt;
  const auto pending = parse(*text);
  if (!pending || start_time(system.files, pending->keeper) != pending->started) return std::nullopt;
  return pending;
}

Result<Pending> start_keeper(System system, const Options& options, std::vector<TableChange> before) {
  if (pending_confirmation(system, options.run_directory)) {
    return fail(ErrorKind::kRefused, "an earlier change still waits to be confirmed",
                "Keep it with `tails-iptc confirm`, or wait for the state before to come back.");
  }
  Pending pending;
  pending.deadline = system.files.now() + *options.confirm_within;
  const auto tables = std::make_shared<std::vector<TableChange>>(std::move(before));
  const int keeper = system.files.start([system, options, tables, deadline = pending.deadline](pid_t self) {
    system.kernel.reopen();
    keep(system, options, *tables, self, deadline);
  });
  if (keeper < 0) {
    return fail(ErrorKind::kRefused,
                fmt::format("cannot start the process that would bring the state before back: {}",
                            kernel::errno_words(-keeper)),
                {}, -keeper);
  }
  pending.keeper = keeper;
  pending.started = start_time(system.files, keeper);
  // Without the file the keeper does nothing: killed between these two lines, nothing was changed and nothing will be.
  system.files.make_directory(options.run_directory, 0755);
  const auto written = write_file(system.files, file_path(system, options.run_directory), print(pending), 0600);
  if (written) return pending;
  system.files.end(keeper);
  return tl::unexpected(written.error());
}

void end_keeper(System system, const std::string& run_directory, const Pending& pending) {
  system.files.remove(file_path(system, run_directory));
  if (start_time(system.files, pending.keeper) == pending.started) system.files.end(pending.keeper);
}

Result<void> confirm(System system, const Options& options) {
  // The keeper takes the lock as well before it acts: whoever is first has decided.
  const auto lock = Lock::take(system.files, lock_path(options), options.wait);
  if (!lock) return tl::unexpected(lock.error());
  const auto pending = pending_confirmation(system, options.run_directory);
  if (!pending) {
    return fail(ErrorKind::kRejected, "nothing waits to be confirmed",
                "If the time was over, the state before is back already: `tails-iptc status` tells.");
  }
  const std::string path = file_path(system, options.run_directory);
  const int removed = system.files.remove(path);
  if (removed < 0) {
    return fail(ErrorKind::kRefused, fmt::format("cannot remove {}: {}", path, kernel::errno_words(-removed)), {},
                -removed);
  }
  system.files.end(pending->keeper);
  return {};
}

void keep(System system, const Options& options, std::vector<TableChange>& before, pid_t self, milliseconds deadline) {
  system.files.sleep_until(deadline);
  // Somebody who holds the lock for ever must not prevent the way back.
  const auto lock = Lock::take(system.files, lock_path(options), options.wait);
  const std::string path = file_path(system, options.run_directory);
  const auto text = read_file(system.files, path);
  const auto pending = text ? parse(*text) : std::nullopt;
  if (!pending || pending->keeper != self) return;
  const bool is_back = !was_open(before) && restore(system.kernel, system.files, before);
  constexpr int kLastTries = 60;
  for (int i = 0; !is_back && i < kLastTries && !close_all(system.kernel, options.lockdown); ++i) {
    system.files.sleep(milliseconds(1000));
  }
  system.files.remove(path);
}

}  // namespace tails::iptc
