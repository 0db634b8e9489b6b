#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/kernel/harness/program.h"

namespace tails::test {

/// Accounts that no test machine has, as --user-map takes them.
inline constexpr const char* kAccounts =
    "debian-tor=107,clearnet=1001,htp=110,tails-upgrade-frontend=112,tails-iuk-get-target-file=111,Debian-gdm=113,"
    "i2psvc=114,i2pbrowser=115,tor-launcher=116,_apt=42,proxy=13";

/// Runs a program; its status, standard output and standard error.
inline testbed::Finished run(std::vector<std::string> words, std::vector<std::string> environment = {}) {
  auto finished = testbed::run({.arguments = std::move(words), .environment = std::move(environment)});
  if (!finished) throw std::runtime_error(finished.error().message);
  return *finished;
}

/// Runs the tails-iptc of this build.
inline testbed::Finished tails_iptc(const std::vector<std::string>& arguments,
                                    std::vector<std::string> environment = {}) {
  std::vector<std::string> words{TAILS_IPTC};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run(std::move(words), std::move(environment));
}

/// The same with the accounts of the built-in profiles pinned.
inline testbed::Finished with_accounts(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--user-map", kAccounts});
  return tails_iptc(arguments);
}

}  // namespace tails::test
