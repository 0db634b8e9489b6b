#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "policy/profiles.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/profile.h"

namespace tails::testbed {

/// A test whose process has a mount namespace and a /run of its own, so that what the program keeps there goes on from
/// one run to the next and is gone at the end. The policy is the profile `tails` with its resolver file in that /run.
class PrivateMachine : public KernelTest {
 protected:
  static constexpr const char* kResolverFile = "/run/resolv-over-clearnet.conf";
  static constexpr const char* kPolicy = "/run/tails.toml";

  void SetUp() override {
    KernelTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    fresh_run();
  }

  static void fresh_run() {
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
    std::string text(policy::find_profile("tails")->text);
    const std::string there = "/etc/resolv-over-clearnet.conf";
    text.replace(text.find(there), there.size(), kResolverFile);
    write(kPolicy, text);
  }

  static void write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    chmod(path.c_str(), 0644);
  }
  static std::string contents(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }

  /// The words of a run of the built program with the tests' accounts.
  static std::vector<std::string> words(std::vector<std::string> arguments, const std::string& policy = kPolicy) {
    std::vector<std::string> all = {TAILS_IPTC_PROGRAM, "-q", "--user-map", std::string(kAccounts), "--policy", policy};
    for (std::string& argument : arguments) all.push_back(std::move(argument));
    return all;
  }
  static Finished tails_iptc(std::vector<std::string> arguments, const std::string& policy = kPolicy) {
    auto finished = run({.arguments = words(std::move(arguments), policy)});
    if (finished) return *finished;
    ADD_FAILURE() << finished.error().message;
    return {};
  }
};

}  // namespace tails::testbed
