#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/result.h"

namespace tails::testbed {

struct Finished {
  int status = 0;  ///< Exit status; 128 + N when signal N ended it.
  std::string out;
  std::string err;
};

/// How to run a program.
struct Launch {
  std::vector<std::string> arguments{};  ///< The program first, looked up in PATH.
  std::string_view input{};
  std::vector<std::string> environment{};  ///< "NAME=value", on top of ours.
  /// Sees an empty /run of its own, so that locks and records of the program under test stay apart from the machine's.
  bool has_private_run = false;
};

/// Runs it in the calling thread's namespace and waits. The program dies with us. Fails only when it could not be
/// started; a status other than 0 is a result.
Result<Finished> run(const Launch& launch);

/// The same, but any status other than 0 is an error that quotes what the program said.
Result<std::string> run_checked(const Launch& launch);

}  // namespace tails::testbed
