/// Many rounds of `netns up` and `netns down`. What becomes of runs that fail or are killed: tests/faults.

#include <unistd.h>

#include <filesystem>
#include <set>
#include <sstream>

#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

/// One guest with services, one with Internet access: every kind of step once.
class GuestsRounds : public PrivateMachine {
 protected:
  static constexpr const char* kTwo = "/run/two.toml";

  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    write_policy_of_two_guests(kTwo);
    auto created = NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
  }

  std::optional<NetworkNamespace> space_;
  std::optional<Inside> inside_;
};

/// Everything that up and down could leave: interfaces, rules, mounts, files.
std::string inventory() {
  std::ostringstream text;
  for (const auto& [name, address] : interface_addresses()) text << name << " " << to_string(address) << "\n";
  for (const char* command : {"ip -o link", "iptables-legacy-save -t filter | grep -v '^[#:]'",
                              "iptables-legacy-save -t nat | grep -v '^[#:]'", "cat /proc/sys/net/ipv4/ip_forward",
                              "grep ' /run' /proc/self/mountinfo", "ip route", "ip rule"}) {
    const auto finished = run({.arguments = {"sh", "-c", command}});
    if (finished) text << finished->out;
  }
  std::set<std::string> files;
  for (const auto& file : std::filesystem::recursive_directory_iterator("/run")) files.insert(file.path().string());
  for (const std::string& file : files) text << file << "\n";
  text << std::filesystem::file_size("/run/tails-iptc/applied") << "\n";
  return text.str();
}

TEST_F(GuestsRounds, AHundredRoundsLeaveNoInterfaceRuleMountOrFile) {
  ASSERT_EQ(tails_iptc({"apply"}, kTwo).status, 0);
  const std::string before = inventory();
  for (int round = 0; round < 100; ++round) {
    ASSERT_EQ(tails_iptc({"netns", "up"}, kTwo).status, 0);
    ASSERT_EQ(tails_iptc({"netns", "down"}, kTwo).status, 0);
  }
  EXPECT_EQ(inventory(), before);
}

TEST_F(GuestsRounds, OpenMachineGetsNoGuests) {
  ASSERT_EQ(tails_iptc({"reset", "--open"}, kTwo).status, 0);
  const Finished refused = tails_iptc({"netns", "up"}, kTwo);
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.err,
            "tails-iptc: no policy is in force on this machine, and guests come up behind one only\n"
            "  Run `tails-iptc apply` first. Nothing was changed.\n");
  EXPECT_EQ(access("/run/netns", F_OK), -1);
}

}  // namespace
}  // namespace tails::testbed
