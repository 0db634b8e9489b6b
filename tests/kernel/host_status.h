#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/kernel/private_machine.h"

namespace tails::testbed {

/// A machine with one interface, eth0, the policy and its [host] in force, and an /etc of its own: `status` finds
/// nothing on it but what a test prepares.
class HostStatus : public PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    private_etc();
    auto created = NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    for (const auto& command :
         std::vector<std::vector<std::string>>{{"ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far0"},
                                               {"ip", "address", "add", "192.0.2.10/24", "dev", "eth0"},
                                               {"ip", "link", "set", "eth0", "up"}}) {
      TAILS_ASSERT_OK(run_checked({.arguments = command}));
    }
    // A new namespace has the machine's own values.
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.conf.all.rp_filter", "0"));
    const Finished applied = tails_iptc({"apply", "--host"});
    ASSERT_EQ(applied.status, 0) << applied.err;
  }

  static std::string status() {
    auto command = words({"status"});
    std::erase(command, "-q");
    const auto finished = run({.arguments = std::move(command)});
    if (!finished) return finished.error().message;
    EXPECT_EQ(finished->status, 0) << finished->out << finished->err;
    return finished->out;
  }
  /// The kernel takes some things away (filters of tc) a moment after the command that removed them has ended.
  static void expect_clean() {
    const auto is_clean = [](const std::string& text) { return text.find("On this machine:") == std::string::npos; };
    std::string said = status();
    for (int i = 0; i < 30 && !is_clean(said); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      said = status();
    }
    EXPECT_TRUE(is_clean(said)) << said;
  }
  static void expect_finding(const std::string& subject_and_fact, const std::string& remedy) {
    EXPECT_NE(status().find("\n  " + subject_and_fact + ".\n      " + remedy + "\n"), std::string::npos)
        << subject_and_fact << "\n"
        << status();
  }

  std::optional<NetworkNamespace> space_;
  std::optional<Inside> inside_;
};

}  // namespace tails::testbed
