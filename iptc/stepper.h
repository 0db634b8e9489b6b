#pragma once

#include <functional>
#include <map>
#include <vector>

#include "iptc/features.h"
#include "iptc/kernel/kernel.h"
#include "iptc/plan.h"
#include "iptc/record.h"
#include "net/result.h"

namespace tails::iptc {

/// Takes tables from what is live to what is wanted, in the order of `make_plan`, each commit read back before the
/// next.
class Stepper {
 public:
  enum class Ending {
    kDone,
    kChangedMeanwhile,  ///< Another program changed a table: `changes` must be read again.
    kFailed,            ///< `error` says why.
  };

  /// Keeps references; `changes` may be read anew between runs, but keeps its size.
  Stepper(kernel::Kernel& kernel, std::vector<TableChange>& changes, Features& features)
      : kernel_(kernel), changes_(changes), features_(features) {}

  /// Orders and encodes what is to be done from the live tables as they were read last.
  void prepare();
  /// What to remember of the guards, so that one that a kill leaves behind is known as ours.
  [[nodiscard]] std::vector<RecordedTable> guard_records(uint64_t network_namespace) const;

  /// Runs the steps of the last `prepare`.
  Ending run();

  /// For each table (by its index) that was, or may have been, replaced: what it was before the first time.
  [[nodiscard]] std::map<size_t, kernel::RawTable>& before() { return before_; }
  /// How long the kernel and libiptc took so far.
  [[nodiscard]] std::chrono::nanoseconds committing() const { return committing_; }
  [[nodiscard]] bool has_committed() const { return !before_.empty(); }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Ending put(size_t table, const kernel::RawTable& content, const kernel::RawTable& expected);
  Ending failed(Error error);
  kernel::RawTable encode_guard(const ruleset::Table& guard);

  kernel::Kernel& kernel_;
  std::vector<TableChange>& changes_;
  Features& features_;
  std::vector<Step> steps_;
  std::map<Family, kernel::RawTable> guards_;
  std::map<size_t, kernel::RawTable> before_;
  std::chrono::nanoseconds committing_{};
  Error error_;
};

/// Puts tables back: `changes` name them and bear in `wanted` what they shall be; what is live is read here. The same
/// promise holds on the way as for any transaction. False: it could not be done, and what is in force is something on
/// the way. `seen` is called with what was live before each attempt.
bool restore(kernel::Kernel& kernel, Files& files, std::vector<TableChange>& changes,
             const std::function<void(const std::vector<TableChange>&)>& seen = nullptr);

/// How often tables are read anew because another program changed them meanwhile, and how long to wait before.
inline constexpr int kAttempts = 6;
constexpr std::chrono::milliseconds pause_before(int attempt) { return std::chrono::milliseconds(1LL << attempt); }

}  // namespace tails::iptc
