#include "iptc/stepper.h"

#include <cerrno>
#include <utility>

#include "iptc/closing.h"
#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/tables.h"

namespace tails::iptc {

void Stepper::prepare() {
  Plan plan = make_plan(changes_);
  steps_ = std::move(plan.steps);
  guards_.clear();
  for (auto* const guard : {&plan.guard_v4, &plan.guard_v6}) {
    if (*guard) guards_.emplace((*guard)->family, encode_guard(**guard));
  }
}

std::vector<RecordedTable> Stepper::guard_records(uint64_t network_namespace) const {
  std::vector<RecordedTable> records;
  for (const auto& [family, guard] : guards_) {
    const auto table = decode(guard);
    if (!table) continue;
    const TableFingerprint print = fingerprint(guard);
    records.push_back({network_namespace, family, guard.name, RecordedTable::Kind::kGuard, print.whole,
                       std::make_shared<const std::string>(record_body({}, *table, print, ""))});
  }
  return records;
}

Stepper::Ending Stepper::run() {
  std::vector<const kernel::RawTable*> live;
  for (const TableChange& change : changes_) live.push_back(&change.live);
  for (const Step& step : steps_) {
    const TableChange& change = changes_[step.table];
    const kernel::RawTable& content = step.is_guard ? guards_.at(change.family) : change.wanted;
    if (kernel::same_rules(content, *live[step.table])) continue;
    if (const Ending ending = put(step.table, content, *live[step.table]); ending != Ending::kDone) return ending;
    live[step.table] = &content;
  }
  return Ending::kDone;
}

Stepper::Ending Stepper::put(size_t table, const kernel::RawTable& content, const kernel::RawTable& expected) {
  const auto start = std::chrono::steady_clock::now();
  const auto replaced = kernel_.replace(content, expected);
  committing_ += std::chrono::steady_clock::now() - start;
  const bool was_late = !replaced && replaced.error().system_errno == EAGAIN;
  // Only what can be read is in force: a good answer does not prove it, nor does a bad one disprove it.
  const auto live = kernel_.read(content.family, content.name);
  const bool is_untouched =
      live && !replaced && (was_late || kernel::same_rules(*live, expected)) && !kernel::same_rules(*live, content);
  if (!is_untouched) before_.try_emplace(table, expected);
  if (!live && live.error().system_errno == EAGAIN) return Ending::kChangedMeanwhile;
  if (!live) return failed(replaced ? live.error() : replaced.error());
  if (kernel::same_rules(*live, content)) return Ending::kDone;
  // Neither old nor new is live, so another program has been there: also where an error is reported, which then may be
  // that of libiptc's second call, by which time the number of entries had changed.
  if (replaced || was_late || !kernel::same_rules(*live, expected)) return Ending::kChangedMeanwhile;
  return failed(replaced.error());
}

Stepper::Ending Stepper::failed(Error error) {
  error_ = std::move(error);
  return Ending::kFailed;
}

/// A guard that the kernel cannot take lets nothing through instead.
kernel::RawTable Stepper::encode_guard(const ruleset::Table& guard) {
  const ruleset::RuleSet none;
  if (probe(kernel_, guard, features_)) {
    if (auto encoded = encode(none, guard, features_)) return *std::move(encoded);
  }
  return bare_lockdown(guard.family);
}

bool restore(kernel::Kernel& kernel, Files& files, std::vector<TableChange>& changes,
             const std::function<void(const std::vector<TableChange>&)>& seen) {
  Features features;
  Stepper stepper(kernel, changes, features);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (attempt > 0) files.sleep(pause_before(attempt));
    if (!read_again(kernel, changes)) return false;
    if (seen) seen(changes);
    stepper.prepare();
    const Stepper::Ending ending = stepper.run();
    if (ending != Stepper::Ending::kChangedMeanwhile) return ending == Stepper::Ending::kDone;
  }
  return false;
}

}  // namespace tails::iptc
