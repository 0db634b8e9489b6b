#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "net/result.h"
#include "tests/faults/traced_program.h"

namespace tails::faults {

/// At every such call of a run.
struct KeptFailure {
  long system_call = 0;
  int error = 0;
  bool is_after = false;
  bool must_block = false;  ///< The machine is not open then.

  [[nodiscard]] bool is(const Failure& failure) const {
    return failure.system_call == system_call && failure.error == error && failure.is_after == is_after;
  }
};

/// One command on one machine. Words are those behind the program's name and --user-map.
struct Scenario {
  using Words = std::vector<std::string>;

  std::string name;
  std::vector<Words> before;                  ///< Runs that make the state before, in order.
  std::function<Result<void>()> arrange{};    ///< Behind them: what no command of ours makes.
  std::function<Result<void>()> each_time{};  ///< Before each run, behind what a MachineState puts back.
  Words command;
  Words environment{};
  Words mend{};  ///< The next run, which finishes whatever was left; empty: the command again.
  /// What the next run may say instead of doing anything, where all was done already.
  std::string nothing_left{};
  /// Values (tests/faults/machine_state) that a run which did not come to its end may leave otherwise.
  std::function<bool(const std::string& name)> may_differ{};
  /// Values that no two runs leave alike.
  std::function<bool(const std::string& name)> ignored{};
  bool has_keeper = false;          ///< A process goes on when the command has ended well.
  bool blocks = false;              ///< Where it cannot do its work, all traffic may be blocked.
  bool must_block = false;          ///< However it ends, the machine is not open then (--or-lockdown; lockdown itself).
  size_t least = 0;                 ///< Failures that there must be.
  std::vector<KeptFailure> kept{};  ///< By which a whole campaign found something: also part of a sample.
};

inline void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

/// Every command that changes something, where it has the most to do.
std::vector<Scenario> all_scenarios();

/// The two guests of the scenarios' policy, one with services and one with Internet access, taken away.
void take_guests_down();

/// The policy of the scenarios with guests, as a file of the machine.
inline constexpr const char* kTwoGuests = "/run/two.toml";
/// The profile `tails` with its resolver file in /run.
inline constexpr const char* kPolicy = "/run/tails.toml";

}  // namespace tails::faults
