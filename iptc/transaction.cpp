#include "iptc/transaction.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "iptc/check.h"
#include "iptc/closing.h"
#include "iptc/confirm.h"
#include "iptc/foreign.h"
#include "iptc/kernel/words.h"
#include "iptc/lock.h"
#include "iptc/record.h"
#include "iptc/stepper.h"
#include "iptc/tables.h"

namespace tails::iptc {
namespace {

using std::chrono::milliseconds;

/// What a failure half-way leads to.
enum class OnFailure {
  kRestore,  ///< The tables before come back, unless they were open.
  kClose,    ///< All traffic is blocked: the transaction was a lockdown itself.
};

Error add_state(Error error, std::string_view sentence) {
  if (!error.remedy.empty()) error.remedy += ' ';
  error.remedy += sentence;
  return error;
}

class Transaction {
 public:
  Transaction(System system, const Options& options, OnFailure on_failure, bool is_reset = false)
      : system_(system), options_(options), on_failure_(on_failure), is_reset_(is_reset) {}

  Result<Outcome> run(ruleset::RuleSet wanted) {
    auto done = run_or_refuse(std::move(wanted));
    if (done || !options_.or_lockdown || options_.dry_run) return done;
    const auto closed = close_all(system_.kernel, options_.lockdown);
    if (closed) return locked_down(done.error(), "All traffic is blocked instead.");
    return tl::unexpected(
        add_state(done.error(), "Blocking all traffic failed as well: " + closed.error().message + "."));
  }

 private:
  static Result<Outcome> refuse(Error error) {
    return tl::unexpected(add_state(std::move(error), "Nothing was changed."));
  }

  /// Errors from here mean that nothing was changed.
  Result<Outcome> run_or_refuse(ruleset::RuleSet wanted) {
    if (auto sound = check(wanted); !sound) return refuse(sound.error());
    if (options_.check) {
      if (auto sound = options_.check(wanted); !sound) return refuse(sound.error());
    }
    if (!options_.dry_run) {
      auto taken = Lock::take(system_.files, options_.lock_path.empty() ? Lock::default_path() : options_.lock_path,
                              options_.wait);
      if (!taken) return refuse(taken.error());
      lock_.emplace(*std::move(taken));
    }
    namespace_ = system_.kernel.namespace_id();
    auto gathered = gather(
        system_.kernel, std::move(wanted), options_.policy, [this]() -> const Record& { return record(); }, features_);
    if (!gathered) return refuse(gathered.error());
    changes_ = std::move(gathered->changes);
    outcome_.times.encoding = gathered->encoding;
    wanted_record_ = std::move(gathered->record);
    for (std::string& notice : gathered->notices) outcome_.notices.push_back(std::move(notice));
    for (const TableChange& change : changes_) {
      outcome_.tables.push_back({change.family, change.name, change.rules, change.differs});
    }
    note_foreign();
    return options_.dry_run ? look() : apply();
  }

  const Record& record() {
    if (was_record_read_) return record_;
    was_record_read_ = true;
    auto record = Record::read(system_.files, options_.run_directory);
    has_record_ = record.has_value();
    if (has_record_) {
      record_ = *std::move(record);
    } else {
      tell_unrecorded(record.error());
    }
    return record_;
  }

  void tell_unrecorded(const Error& why) {
    outcome_.notices.push_back("The origins of the rules could not be recorded: " + why.message + ".");
  }

  Outcome look() {
    outcome_.kind = all_equal() ? Outcome::Kind::kUnchanged : Outcome::Kind::kDryRun;
    return std::move(outcome_);
  }

  [[nodiscard]] bool all_equal() const {
    return std::ranges::none_of(changes_, [](const TableChange& change) { return change.differs; });
  }

  Result<Outcome> apply() {
    overtake_pending();
    if (all_equal()) {
      remember({});
      outcome_.kind = Outcome::Kind::kUnchanged;
      return std::move(outcome_);
    }
    Stepper stepper(system_.kernel, changes_, features_);
    Error error = kernel::contention_error();
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      if (attempt > 0) {
        system_.files.sleep(pause_before(attempt));
        if (auto read = read_again(system_.kernel, changes_); !read) {
          error = read.error();
          break;
        }
        note_foreign();
      }
      if (!stepper.has_committed()) was_open_ = is_open_now();
      stepper.prepare();
      if (attempt == 0) {
        if (auto kept = ask_for_confirmation(); !kept) return refuse(kept.error());
        remember(stepper.guard_records(namespace_));
      }
      const Stepper::Ending ending = stepper.run();
      outcome_.times.committing = stepper.committing();
      if (ending == Stepper::Ending::kDone) {
        outcome_.kind = Outcome::Kind::kApplied;
        outcome_.unconfirmed_blocks = keeper_ && keeper_->blocks;
        return std::move(outcome_);
      }
      if (ending == Stepper::Ending::kFailed) {
        error = stepper.error();
        break;
      }
    }
    auto outcome = stepper.has_committed() ? go_back(std::move(stepper.before()), std::move(error)) : refuse(error);
    if (keeper_) end_keeper(system_, options_.run_directory, *keeper_);
    return outcome;
  }

  /// Whoever closes or opens all by hand wants it to stay so.
  void overtake_pending() {
    if (on_failure_ != OnFailure::kClose && !is_reset_) return;
    const auto overtaken = overtake(system_, options_.run_directory);
    if (!overtaken) {
      outcome_.notices.push_back("If an earlier change waits to be confirmed, the state before it may come back: " +
                                 overtaken.error().message + ".");
    } else if (*overtaken) {
      outcome_.notices.emplace_back("The earlier change that waited to be confirmed will not be taken back.");
    }
  }

  /// Starts the keeper where a confirmation is wanted; says so where an earlier one is still waited for.
  Result<void> ask_for_confirmation() {
    if (!options_.confirm_within) {
      // One that cannot be read was told of by whoever looked for it first (mend_confirmation).
      if (const auto pending = pending_confirmation(system_, options_.run_directory); pending && *pending) {
        outcome_.notices.emplace_back(
            "An earlier change still waits to be confirmed: without `tails-iptc confirm` the state before it comes "
            "back.");
      }
      return {};
    }
    std::vector<TableChange> before;
    for (const TableChange& change : changes_) {
      before.push_back({change.family, change.name, {}, change.live, 0, false});
    }
    auto keeper = start_keeper(system_, options_, std::move(before));
    if (!keeper) return tl::unexpected(keeper.error());
    keeper_ = *keeper;
    return {};
  }

  /// Adds what another program put there since the last look.
  void note_foreign() {
    for (ForeignRule& found : find_foreign(changes_, record(), namespace_, named_)) {
      outcome_.foreign.push_back(std::move(found));
    }
  }

  [[nodiscard]] bool is_open_now() const {
    return std::ranges::any_of(changes_, [](const TableChange& change) {
      return change.name == ruleset::TableName::kFilter && is_open(change.live);
    });
  }

  /// After a failure half-way. Going back is a transaction of its own, from what is live now to what was before, so
  /// that the promise holds on the way as well. An open state is never restored.
  Result<Outcome> go_back(std::map<size_t, kernel::RawTable>&& before, Error error) {
    if (on_failure_ == OnFailure::kClose) return close(std::move(error), "");
    if (was_open_) return close(std::move(error), "The rules before let everything through and are not put back. ");
    std::vector<TableChange> back;
    for (auto& [index, table] : before) {
      TableChange& change = changes_[index];
      back.push_back({change.family, change.name, {}, std::move(table), 0, false});
    }
    // What another program put there while we were at work does not come back.
    std::vector<ForeignRule> removed;
    std::set<NamedRule> named;
    const auto note = [&](const std::vector<TableChange>& changes) {
      for (ForeignRule& found : find_foreign(changes, record(), namespace_, named)) removed.push_back(std::move(found));
    };
    if (restore(system_.kernel, system_.files, back, note)) {
      outcome_.kind = Outcome::Kind::kRolledBack;
      outcome_.foreign = std::move(removed);
      outcome_.failure = add_state(std::move(error), "The rules before are back in force.");
      return std::move(outcome_);
    }
    return close(std::move(error), "The rules before could not be put back. ");
  }

  /// Blocks all traffic half-way. `why` says why nothing better was done, and ends in a space.
  Result<Outcome> close(Error error, std::string_view why) {
    const auto closed = close_all(system_.kernel, options_.lockdown);
    if (closed) return locked_down(std::move(error), std::string(why) + "All traffic is blocked now.");
    return locked_down(std::move(error),
                       fmt::format("{}Blocking all traffic failed as well ({}). What is in force lets nothing through "
                                   "that neither the old nor the new rules would.",
                                   why, closed.error().message));
  }

  Outcome locked_down(Error error, std::string_view state) {
    outcome_.kind = Outcome::Kind::kLockedDown;
    error.kind = ErrorKind::kLockedDown;
    outcome_.failure = add_state(std::move(error), state);
    return std::move(outcome_);
  }

  /// Writes the record before the first commit, so that a kill finds it there: it is a map from content to origins,
  /// never a claim about what is live.
  void remember(std::vector<RecordedTable> guards) {
    Record next = record();
    next.prune(namespace_, [&](const RecordedTable& t) {
      return std::ranges::any_of(changes_, [&](const TableChange& change) {
        return t.family == change.family && t.table == change.live.name && t.whole == fingerprint(change.live).whole;
      });
    });
    for (RecordedTable& table : guards) next.add(std::move(table));
    for (RecordedTable& table : std::exchange(wanted_record_, {})) next.add(std::move(table));
    const bool is_news = next != record_;
    record_ = std::move(next);
    // In the place of one that could not be read it would forget the tables of other namespaces.
    if (!has_record_) return;
    if (is_news) {
      const auto written = record_.write(system_.files, options_.run_directory);
      if (!written) return tell_unrecorded(written.error());
    }
    // Megabytes where the rules are many, and hardly ever asked for again: it is read anew then.
    record_ = {};
    was_record_read_ = false;
  }

  System system_;
  const Options& options_;
  OnFailure on_failure_;
  bool is_reset_;
  Features features_;
  uint64_t namespace_ = 0;
  Record record_;  // see record()
  bool was_record_read_ = false;
  bool has_record_ = false;
  std::vector<TableChange> changes_;
  std::vector<RecordedTable> wanted_record_;
  std::set<NamedRule> named_;
  bool was_open_ = false;
  std::optional<Lock> lock_;
  std::optional<Pending> keeper_;
  Outcome outcome_;
};

}  // namespace

Result<Outcome> commit(System system, ruleset::RuleSet wanted, const Options& options) {
  return Transaction(system, options, OnFailure::kRestore).run(std::move(wanted));
}

Result<Outcome> lockdown(System system, const Options& options) {
  Options plain = options;
  plain.check = nullptr;
  plain.confirm_within.reset();
  std::string refusal;
  if (!options.lockdown.tables.empty()) {
    auto done = Transaction(system, plain, OnFailure::kClose).run(options.lockdown);
    const int problem = done ? 0 : done.error().system_errno;
    if (done || problem == EWOULDBLOCK || problem == EPERM || problem == EACCES) return done;
    refusal = done.error().message;
  }
  // The kernel may lack what the rules need; DROP policies it can always take.
  auto done = Transaction(system, plain, OnFailure::kClose).run(bare_lockdown_rules());
  if (done && !refusal.empty()) {
    done->notices.push_back("Not even what is established on loopback goes on, as its rules were refused: " + refusal +
                            ".");
  }
  return done;
}

Result<Outcome> reset_open(System system, const Options& options) {
  Options plain = options;
  plain.check = nullptr;
  plain.confirm_within.reset();
  return Transaction(system, plain, OnFailure::kRestore, true).run({});
}

}  // namespace tails::iptc
