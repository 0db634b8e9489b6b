#pragma once

#include <cstddef>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/faults/traced_program.h"

/// A campaign runs a program again and again, each time with another fault, and counts how it ended.
///
/// By default a campaign is a sample, the same each time. TAILS_EVERY_CALL=1 makes it all of them, and
/// TAILS_FAULT_PART=3/8 with it the third of eight parts (scripts/faults).
namespace tails::faults {

/// Every failure that a run could have met: each call with each errno that it can have (tests/faults/possible_errors).
struct Possible {
  std::vector<Failure> failures;
  std::map<std::string, size_t> by_call;
  std::set<long> unknown;  ///< Calls that nobody thought of.
};
Possible possible_failures(const std::vector<long>& system_calls);

/// "openat 3 fails with EACCES".
std::string describe(const Failure& failure);

/// The indices of `count` faults that this run is to put in: about `sample` of them, or all of its part.
std::vector<size_t> chosen(size_t count, size_t sample);
bool is_whole();

/// What came of a campaign. Printed as one line that scripts/faults adds up:
///   FAULTS NAME: errors N of N, kills N of N, missed N, open N; ENDING N, …
struct Tally {
  size_t errors = 0, possible_errors = 0;
  size_t kills = 0, possible_kills = 0;
  size_t missed = 0;  ///< The run had ended before the call came: how much there is to read varies a little.
  size_t open = 0;    ///< Ended in a state that lets through what neither the old nor the new one does.
  std::map<std::string, size_t> endings;

  void print(const std::string& name) const;
};

}  // namespace tails::faults
