/// The program as a hook: by the name of its link, with what the network said in the environment.

#include "cli/hook.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "tests/cli/program.h"

namespace tails::test {
namespace {

using cli::HookRun;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using Environment = std::map<std::string, std::string>;

constexpr const char* kNetworkManager = "/usr/lib/NetworkManager/dispatcher.d/50-tails-iptc";
constexpr const char* kIfupdown = "/etc/network/if-pre-up.d/tails-iptc";

Result<std::optional<HookRun>> read(const std::vector<const char*>& words, const Environment& environment = {}) {
  return cli::read_hook(words, [&](const char* name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  });
}
/// Of a hook that is one.
HookRun run_of(const std::vector<const char*>& words, const Environment& environment = {}) {
  const auto hook = read(words, environment);
  EXPECT_TRUE(hook && *hook);
  return hook && *hook ? **hook : HookRun{};
}
std::string refusal(const std::vector<const char*>& words, const Environment& environment = {}) {
  const auto hook = read(words, environment);
  return hook ? "taken" : hook.error().message;
}

TEST(Hook, IsNoneUnderTheProgramsOwnName) {
  for (const char* name : {"tails-iptc", "/usr/sbin/tails-iptc", "./tails-iptc", "/etc/network/tails-iptc", ""}) {
    const auto hook = read({name, "eth0", "up"}, {{"IFACE", "eth0"}});
    ASSERT_TRUE(hook.has_value());
    EXPECT_FALSE(hook->has_value()) << name;
  }
  EXPECT_FALSE(read({})->has_value());
}

TEST(Hook, OfNetworkManagerTellsReconfigureWhatHappened) {
  for (const char* event :
       {"pre-up", "up", "down", "dhcp4-change", "dhcp6-change", "reapply", "vpn-pre-up", "vpn-up", "vpn-down"}) {
    EXPECT_THAT(run_of({kNetworkManager, "eth0", event}).words,
                ElementsAre("--wait", "30", "reconfigure", "--interface=eth0", std::string("--event=") + event));
  }
}

TEST(Hook, OfNetworkManagerHasNothingToDoForOtherEvents) {
  EXPECT_THAT(run_of({kNetworkManager, "none", "hostname"}).words, IsEmpty());
  EXPECT_THAT(run_of({kNetworkManager, "none", "connectivity-change"}).words, IsEmpty());
  EXPECT_THAT(run_of({kNetworkManager, "eth0"}).words, IsEmpty());
  EXPECT_THAT(run_of({kNetworkManager}).words, IsEmpty());
  EXPECT_THAT(run_of({kNetworkManager, "eth0", "up; reboot"}).words, IsEmpty());
}

TEST(Hook, OfIfupdownReadsItsVariables) {
  EXPECT_THAT(run_of({kIfupdown}, {{"IFACE", "eth0"}, {"PHASE", "pre-up"}}).words,
              ElementsAre("--wait", "30", "reconfigure", "--interface=eth0", "--event=pre-up"));
  EXPECT_THAT(run_of({kIfupdown}, {{"IFACE", "lo"}, {"PHASE", "pre-up"}}).words, IsEmpty());
  EXPECT_THAT(run_of({kIfupdown}, {{"IFACE", "--all"}, {"PHASE", "post-up"}}).words, IsEmpty());
  EXPECT_THAT(run_of({kIfupdown}).words, IsEmpty());
}

TEST(Hook, TakesALabelledAddressForItsInterface) {
  EXPECT_THAT(run_of({kIfupdown}, {{"IFACE", "eth0:1"}, {"PHASE", "post-up"}}).words,
              ElementsAre("--wait", "30", "reconfigure", "--interface=eth0:1", "--event=post-up"));
  EXPECT_NE(refusal({kIfupdown}, {{"IFACE", "eth0:"}}), "taken");
  EXPECT_NE(refusal({kIfupdown}, {{"IFACE", "eth0:$(x)"}}), "taken");
}

TEST(Hook, RefusesNamesThatAreNone) {
  EXPECT_EQ(refusal({kNetworkManager, "", "up"}), "the hook was given \"\" as the name of an interface");
  EXPECT_EQ(refusal({kNetworkManager, "../../etc", "up"}),
            "the hook was given \"../../etc\" as the name of an interface");
  EXPECT_EQ(refusal({kNetworkManager, "eth0\x1b[2J", "up"}),
            "the hook was given \"eth0\\x1b[2J\" as the name of an interface");
  EXPECT_EQ(refusal({kNetworkManager, "a-name-that-is-too-long", "up"}),
            "the hook was given \"a-name-that-is-too-long\" as the name of an interface");
  EXPECT_EQ(refusal({kIfupdown}, {{"IFACE", "eth0 $(reboot)"}}),
            "the hook was given \"eth0 $(reboot)\" as the name of an interface (IFACE)");
  EXPECT_EQ(refusal({kIfupdown}, {{"IFACE", "eth0"}, {"PHASE", "up\n"}}),
            "the hook was given \"up\\n\" as what happens (PHASE)");
}

TEST(Hook, KeepsOnlyAddressesOfTheEnvironment) {
  const HookRun run =
      run_of({kNetworkManager, "eth0", "dhcp4-change"}, {{"IP4_NAMESERVERS", "192.0.2.53 192.0.2.54"},
                                                         {"DHCP4_DOMAIN_NAME_SERVERS", "192.0.2.53 $(touch /tmp/here)"},
                                                         {"new_domain_name_servers", std::string(5000, '1')},
                                                         {"XTABLES_LOCKFILE", "/tmp/lock"},
                                                         {"LD_PRELOAD", "/tmp/evil.so"},
                                                         {"PATH", "/tmp"},
                                                         {"BASH_FUNC_x%%", "() { reboot; }"}});
  EXPECT_THAT(run.environment, ElementsAre(Pair("IP4_NAMESERVERS", "192.0.2.53 192.0.2.54")));
  EXPECT_THAT(run.refused, ElementsAre("DHCP4_DOMAIN_NAME_SERVERS", "new_domain_name_servers"));
}

/// Through a link, as NetworkManager runs it.
TEST(Hook, TheProgramKnowsItsLinks) {
  std::string folder = testing::TempDir() + "hook.XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  const std::string link = folder + "/50-tails-iptc";
  std::filesystem::create_symlink(TAILS_IPTC, link);
  const auto nothing = run({link, "none", "hostname"}, {"IP4_NAMESERVERS=$(reboot)"});
  EXPECT_EQ(nothing.status, 0) << nothing.err;
  EXPECT_EQ(nothing.out + nothing.err, "");
  const auto refused = run({link, "eth0;reboot /", "up"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.out, "");
  EXPECT_EQ(refused.err,
            "tails-iptc: the hook was given \"eth0;reboot /\" as the name of an interface\n"
            "  It is for NetworkManager and ifupdown to run. By hand: `tails-iptc reconfigure`.\n");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tails::test
