#pragma once

#include <string>
#include <utility>
#include <vector>

#include "net/result.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/profile.h"

namespace tails::testbed {

/// Runs the built `tails-iptc` with the tests' accounts, in the thread's namespace and with a /run of its own.
inline Result<Finished> tails_iptc(std::vector<std::string> arguments) {
  std::vector<std::string> command = {TAILS_IPTC_PROGRAM, "--user-map", std::string(kAccounts)};
  for (std::string& argument : arguments) command.push_back(std::move(argument));
  return run({.arguments = std::move(command), .has_private_run = true});
}

}  // namespace tails::testbed
