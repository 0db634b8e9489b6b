/// `netns up` killed, or refused by the system, at its system calls; and many rounds of up and down.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "cli/guests.h"
#include "host/network_namespace.h"
#include "host/sysctl.h"
#include "iptc/transaction.h"
#include "policy/lower.h"
#include "tests/iptc/traced_program.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

using host::GuestState;

class GuestsKill : public PrivateMachine {
 protected:
  static constexpr const char* kTwo = "/run/two.toml";

  /// One guest with services, one with Internet access: every kind of step once.
  static policy::Policy two_guests() {
    auto policy = *profile("tails");
    std::erase_if(policy.namespaces, [](const auto& space) { return space.name != "tbb" && space.name != "clearnet"; });
    return policy;
  }

  /// A network and a /run as after boot and `apply`.
  void begin() {
    inside_.reset();
    while (umount2("/run", MNT_DETACH) == 0) {
    }
    ASSERT_NO_FATAL_FAILURE(fresh_run());
    std::string text = contents(kPolicy);
    for (const char* name : {"onioncircs", "tca", "onionshare"}) {
      const size_t start = text.find(std::string("[[namespace]]\nname = \"") + name);
      ASSERT_NE(start, std::string::npos);
      text.erase(start, text.find("[[namespace]]", start + 1) - start);
    }
    write(kTwo, text);
    auto created = NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    const cli::LiveSystem system;
    iptc::Options options;
    options.policy = "tails (/run/two.toml)";
    const auto done = iptc::commit(system.get(), policy::lower(policy_), options);
    TAILS_ASSERT_OK(done);
    ASSERT_FALSE(done->failure);
  }

  /// No guest is ever on a cable without rules.
  void expect_no_guest_on_a_cable_without_rules() {
    for (const policy::Namespace& space : policy_.namespaces) {
      const auto opened = host::network_namespace::open(space.name);
      if (!opened || !*opened) continue;
      ASSERT_TRUE(host::network_namespace::inside((*opened)->get(), [&]() -> Result<void> {
        const auto addresses = interface_addresses();
        const bool is_on_cable = std::ranges::any_of(addresses, [](const auto& a) { return a.first == "veth0"; });
        if (!is_on_cable) return {};
        const auto live = iptc::read_live(cli::LiveSystem().get());
        if (!live) return tl::unexpected(live.error());
        const auto* filter = live->rules.find(Family::kIpv4, ruleset::TableName::kFilter);
        EXPECT_TRUE(filter != nullptr && filter->find("OUTPUT")->policy == ruleset::ChainPolicy::kDrop) << space.name;
        return {};
      }));
    }
  }

  [[nodiscard]] bool all_are(GuestState state) const {
    return std::ranges::all_of(policy_.namespaces, [&](const policy::Namespace& space) {
      const auto report = cli::examine(space);
      if (!report) ADD_FAILURE() << report.error().message;
      return report && report->state == state && (state != GuestState::kUp || report->rules_as_wanted.value_or(false));
    });
  }

  /// As before the first `netns up`.
  void expect_nothing_left() {
    EXPECT_TRUE(all_are(GuestState::kAbsent));
    EXPECT_EQ(access("/run/netns", F_OK), -1);
    EXPECT_EQ(**host::sysctl::read("net.ipv4.ip_forward"), 0);
    for (const auto& file : std::filesystem::directory_iterator("/run/tails-iptc")) {
      EXPECT_FALSE(file.path().filename().string().starts_with("forwarding")) << file.path();
    }
  }

  /// The next run mends whatever is there, and `netns down` leaves nothing.
  void expect_mended() {
    ASSERT_EQ(tails_iptc({"netns", "up"}, kTwo).status, 0);
    EXPECT_TRUE(all_are(GuestState::kUp));
    EXPECT_EQ(**host::sysctl::read("net.ipv4.ip_forward"), 1);
    EXPECT_EQ(**host::sysctl::read("net.ipv4.conf.veth-clearnet.forwarding"), 1);
    EXPECT_EQ(**host::sysctl::read("net.ipv4.conf.veth-tbb.forwarding"), 0);
    ASSERT_EQ(tails_iptc({"netns", "down"}, kTwo).status, 0);
    expect_nothing_left();
  }

  /// Every system call with TAILS_EVERY_CALL, else so many spread evenly.
  static size_t stride(const iptc::Traced& whole) {
    constexpr size_t kSamples = 30;
    return std::getenv("TAILS_EVERY_CALL") != nullptr
               ? 1
               : std::max<size_t>(1, (whole.calls - whole.first_lock) / kSamples);
  }

  policy::Policy policy_ = two_guests();
  std::optional<NetworkNamespace> space_;
  std::optional<Inside> inside_;
};

TEST_F(GuestsKill, UpKilledAtItsSystemCallsIsMendedByTheNextRun) {
  ASSERT_NO_FATAL_FAILURE(begin());
  const auto whole = iptc::run_traced(words({"netns", "up"}, kTwo), {.shares_run = true});
  ASSERT_EQ(whole.status, 0);
  size_t half_made = 0;
  size_t kills = 0;
  for (size_t call = whole.first_lock; call < whole.calls; call += stride(whole)) {
    SCOPED_TRACE("killed at system call " + std::to_string(call) + " of " + std::to_string(whole.calls));
    ASSERT_NO_FATAL_FAILURE(begin());
    const auto killed = iptc::run_traced(words({"netns", "up"}, kTwo), {.kill_at = call, .shares_run = true});
    kills += killed.was_killed ? 1 : 0;
    ASSERT_NO_FATAL_FAILURE(expect_no_guest_on_a_cable_without_rules());
    if (!all_are(GuestState::kAbsent) && !all_are(GuestState::kUp)) ++half_made;
    ASSERT_NO_FATAL_FAILURE(expect_mended());
    ASSERT_FALSE(HasFailure());
  }
  std::printf("%zu kills among %zu system calls; left half-made %zu times, each mended\n", kills,
              whole.calls - whole.first_lock, half_made);
  EXPECT_GT(half_made, 0U);
}

TEST_F(GuestsKill, UpRefusedAtItsSystemCallsUndoesEverythingAndTheNextRunSucceeds) {
  ASSERT_NO_FATAL_FAILURE(begin());
  const auto whole = iptc::run_traced(words({"netns", "up"}, kTwo), {.shares_run = true});
  ASSERT_EQ(whole.status, 0);
  size_t refused = 0;
  size_t went_on = 0;
  size_t ended = 0;
  for (size_t call = whole.first_lock + 1; call < whole.calls; call += stride(whole)) {
    SCOPED_TRACE("refused at system call " + std::to_string(call) + " of " + std::to_string(whole.calls));
    ASSERT_NO_FATAL_FAILURE(begin());
    const auto failed =
        iptc::run_traced(words({"netns", "up"}, kTwo), {.fail = iptc::Failure{.at = call}, .shares_run = true});
    ASSERT_NO_FATAL_FAILURE(expect_no_guest_on_a_cable_without_rules());
    if (failed.status == 3) {
      ++refused;
      expect_nothing_left();
    } else {
      // A call without which it goes; or one without which nothing goes (the way home from a namespace, memory).
      ++(failed.status == 0 ? went_on : ended);
    }
    ASSERT_NO_FATAL_FAILURE(expect_mended());
    ASSERT_FALSE(HasFailure()) << "status " << failed.status;
  }
  std::printf("%zu refusals undone whole, %zu calls that are not needed, %zu ends of the program\n", refused, went_on,
              ended);
  EXPECT_GT(refused, 0U);
}

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

TEST_F(GuestsKill, AHundredRoundsLeaveNoInterfaceRuleMountOrFile) {
  ASSERT_NO_FATAL_FAILURE(begin());
  ASSERT_EQ(tails_iptc({"apply"}, kTwo).status, 0);
  const std::string before = inventory();
  for (int round = 0; round < 100; ++round) {
    ASSERT_EQ(tails_iptc({"netns", "up"}, kTwo).status, 0);
    ASSERT_EQ(tails_iptc({"netns", "down"}, kTwo).status, 0);
  }
  EXPECT_EQ(inventory(), before);
}

TEST_F(GuestsKill, OpenMachineGetsNoGuests) {
  ASSERT_NO_FATAL_FAILURE(begin());
  ASSERT_EQ(tails_iptc({"reset", "--open"}, kTwo).status, 0);
  const Finished refused = tails_iptc({"netns", "up"}, kTwo);
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.err,
            "tails-iptc: no policy is in force on this machine, and guests come up behind one only\n"
            "  Run `tails-iptc apply` first. Nothing was changed.\n");
  expect_nothing_left();
}

}  // namespace
}  // namespace tails::testbed
