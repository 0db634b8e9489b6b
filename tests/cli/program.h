#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tails::test {

/// What the program left behind.
struct Run {
  int status = -1;  ///< The exit code; 128 + the signal's number where one ended it.
  std::string out;
  std::string err;
};

struct RunOptions {
  /// The whole environment. HOME, TERM, NO_COLOR and the like are absent unless set here.
  std::map<std::string, std::string> environment;
  /// Run as this user (group the same number, no other groups). Needs root.
  std::optional<uid_t> user;
  std::string directory = "/";
};

/// Runs the tails-iptc of this build and waits for its end; its standard input is empty.
Run tails_iptc(const std::vector<std::string>& arguments, const RunOptions& options = {});

/// Runs any program, found in PATH.
Run program(const std::vector<std::string>& words, const RunOptions& options = {});

}  // namespace tails::test
