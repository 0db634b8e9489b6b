#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "tests/cli/program.h"
#include "tests/kernel/harness/network_namespace.h"
#include "tests/kernel/kernel_test.h"

namespace tails::test {

/// Every test has a network namespace and a /run of its own.
class CliKernel : public testbed::KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto created = testbed::NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
  }

  /// All tables of ours as the kernel's own tools print them, comments aside.
  static std::string live() {
    std::string text;
    for (const char* tool : {"iptables-legacy-save", "ip6tables-legacy-save"}) {
      std::istringstream lines(run({tool}).out);
      for (std::string line; std::getline(lines, line);) {
        if (line.starts_with('#')) continue;
        text += line.substr(0, line.starts_with(':') ? line.find(" [") : std::string::npos) + "\n";
      }
    }
    return text;
  }

  /// A policy file in the private /run.
  static std::string file(const std::string& name, const std::string& text, mode_t mode = 0644) {
    const std::string path = "/run/" + name;
    std::ofstream(path, std::ios::binary) << text;
    chmod(path.c_str(), mode);
    return path;
  }

  std::optional<testbed::NetworkNamespace> space_;
  std::optional<testbed::Inside> inside_;
};

/// The text without its last two words, the time: "Applied … out.  1.2 ms".
inline std::string without_time(const std::string& text) { return text.substr(0, text.rfind("  ")); }

}  // namespace tails::test
