#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
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

/// Gives the test's process a mount namespace and an empty /run of its own.
inline void take_private_run() {
  ASSERT_EQ(unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
}

/// A test whose process has a mount namespace and a /run of its own, so that what the program keeps there goes on from
/// one run to the next and is gone at the end. The policy is the profile `tails` with its resolver file in that /run.
class PrivateMachine : public KernelTest {
 protected:
  static constexpr const char* kResolverFile = "/run/resolv-over-clearnet.conf";
  static constexpr const char* kPolicy = "/run/tails.toml";

  void SetUp() override {
    KernelTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_NO_FATAL_FAILURE(take_private_run());
    write_policy();
  }

  /// Everything that was there is out of sight.
  static void fresh_run() {
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
    write_policy();
  }
  static void write_policy() {
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

  /// The same policy with one guest that has services (tbb) and one that has Internet access (clearnet).
  static void write_policy_of_two_guests(const std::string& path) {
    std::string text = contents(kPolicy);
    for (const char* name : {"onioncircs", "tca", "onionshare"}) {
      const size_t start = text.find(std::string("[[namespace]]\nname = \"") + name);
      ASSERT_NE(start, std::string::npos);
      text.erase(start, text.find("[[namespace]]", start + 1) - start);
    }
    write(path, text);
  }

  /// What programs need of /etc to run, and nothing of this machine's settings. No control groups: whose programs hang
  /// there is not ours.
  static void private_etc() {
    const std::string passwd = contents("/etc/passwd");
    const std::string group = contents("/etc/group");
    const std::string cache = contents("/etc/ld.so.cache");
    ASSERT_EQ(mount("tmpfs", "/etc", "tmpfs", 0, "mode=755"), 0);
    write("/etc/passwd", passwd);
    write("/etc/group", group);
    write("/etc/ld.so.cache", cache);
    write("/etc/nsswitch.conf", "hosts: files dns\n");
    write("/etc/resolv.conf", "nameserver 192.0.2.53\n");
    // Installed here or not: what would be found of them is under /etc and /run.
    write("/etc/hosts", "127.0.0.1 localhost\n");
    std::filesystem::create_directories("/etc/NetworkManager/conf.d");
    write("/etc/NetworkManager/conf.d/none.conf", "[main]\ndns=none\n");
    std::filesystem::create_directories("/etc/dhcp");
    write("/etc/dhcp/dhclient.conf", "supersede domain-name-servers 127.0.0.1;\n");
    if (std::filesystem::exists("/sys/fs/cgroup")) {
      ASSERT_EQ(mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"), 0);
    }
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
