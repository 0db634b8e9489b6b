/// The program on the real kernel: what it says, its exit status, and what is in force afterwards.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/cli/kernel_fixture.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::test {
namespace {

using Json = nlohmann::json;

TEST_F(CliKernel, ApplyPutsEachProfileInForceAndSaysSoInOneLine) {
  for (const std::string profile : {"tails", "tails-i2p", "tails-classic"}) {
    const auto applied = with_accounts({"--policy", profile, "apply"});
    EXPECT_EQ(applied.status, 0) << applied.err;
    EXPECT_TRUE(applied.out.starts_with("Applied \"" + profile + "\": ")) << applied.out;
    EXPECT_TRUE(without_time(applied.out).ends_with(" (IPv6); nothing else gets out.")) << applied.out;
    const auto status = with_accounts({"--policy", profile, "status"});
    EXPECT_EQ(status.status, 0) << status.out;
    EXPECT_TRUE(status.out.starts_with("In force: policy \"" + profile + "\".\n")) << status.out;
  }
}

TEST_F(CliKernel, ShowPrintsTheVeryTextThatTheKernelsToolPrintsAfterApply) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  std::string shown = with_accounts({"show", "--format", "save", "--family", "4"}).out +
                      with_accounts({"show", "--format", "save", "--family", "6"}).out;
  for (size_t at = 0; (at = shown.find(" [0:0]")) != std::string::npos;) shown.erase(at, 6);
  // The tools print nat before filter or behind, as the kernel lists them: compare tables, not their order.
  const auto tables = [](const std::string& text) {
    std::multiset<std::string> all;
    for (size_t start = 0; start < text.size();) {
      const size_t end = text.find("COMMIT\n", start);
      all.insert(text.substr(start, end - start));
      start = end + 7;
    }
    return all;
  };
  EXPECT_EQ(tables(live()), tables(shown));
}

TEST_F(CliKernel, ALockdownForAPolicyThatCannotBeReadEndsWithTheNextReconfigureAndOneThatWasAskedForDoesNot) {
  const std::string policy = file("broken.toml", "schema = ");
  const auto blocked = with_accounts({"--policy", policy, "apply", "--or-lockdown"});
  EXPECT_EQ(blocked.status, 4) << blocked.err;
  EXPECT_TRUE(with_accounts({"status"}).out.starts_with("Locked down: everything is blocked."));
  const auto still = with_accounts({"--policy", policy, "reconfigure"});
  EXPECT_EQ(still.status, 4) << still.err;
  EXPECT_TRUE(still.err.ends_with(" All traffic is blocked.\n")) << still.err;
  EXPECT_EQ(with_accounts({"reconfigure"}).status, 0);
  EXPECT_TRUE(with_accounts({"status"}).out.starts_with("In force: policy \"tails\".\n"));

  ASSERT_EQ(tails_iptc({"lockdown"}).status, 0);
  EXPECT_EQ(with_accounts({"reconfigure"}).status, 0);
  EXPECT_TRUE(with_accounts({"status"}).out.starts_with("Locked down: everything is blocked."));
}

TEST_F(CliKernel, ApplyingAgainChangesNothingAndCountersLiveOn) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  testbed::try_tcp({IpAddress::v4(127, 0, 0, 1), 9});
  const std::string before = with_accounts({"show", "--live", "--format", "json"}).out;
  EXPECT_NE(before.find("\"packets\": 1"), std::string::npos) << before;
  const auto again = with_accounts({"apply"});
  EXPECT_EQ(again.status, 0);
  EXPECT_TRUE(again.out.starts_with("\"tails\" is in force already: ")) << again.out;
  EXPECT_TRUE(without_time(again.out).ends_with("; nothing was changed.")) << again.out;
  EXPECT_EQ(with_accounts({"show", "--live", "--format", "json"}).out, before);
}

TEST_F(CliKernel, ForeignRulesAreNamedAndRemoved) {
  run({"iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"});
  const auto applied = with_accounts({"apply"});
  EXPECT_EQ(applied.status, 0);
  EXPECT_EQ(applied.err,
            "tails-iptc: notice: removed 1 rule that is not the policy's:\n"
            "  IPv4 filter: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n");
}

TEST_F(CliKernel, DryRunSaysWhatWouldChangeAndChangesNothing) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  run({"iptables-legacy", "-I", "OUTPUT", "-j", "ACCEPT"});
  const std::string before = live();
  const auto dry = with_accounts({"apply", "--dry-run"});
  EXPECT_EQ(dry.status, 0);
  EXPECT_TRUE(dry.out.starts_with("IPv4 filter\n  - -A OUTPUT -j ACCEPT\nWould apply \"tails\": ")) << dry.out;
  EXPECT_EQ(live(), before);
}

TEST_F(CliKernel, JsonHasTheKeysOfTheContract) {
  for (const auto& [words, result] :
       {std::pair{std::vector<std::string>{"--json", "apply", "--dry-run"}, "dry-run"},
        {{"--json", "apply"}, "applied"},
        {{"--json", "apply"}, "unchanged"},
        {{"--json", "--policy", "/run/none.toml", "apply"}, "refused"},
        {{"--json", "--policy", "/run/none.toml", "apply", "--or-lockdown"}, "locked-down"}}) {
    const Json json = Json::parse(with_accounts(words).out);
    EXPECT_EQ(json.at("result"), result);
    EXPECT_TRUE(json.at("tables").is_array());
    for (const Json& table : json.at("tables")) {
      EXPECT_TRUE(table.at("family") == 4 || table.at("family") == 6);
      EXPECT_TRUE(table.at("table").is_string());
      EXPECT_TRUE(table.at("rules").is_number_unsigned());
    }
    EXPECT_TRUE(json.at("flows_removed").is_number_unsigned());
    EXPECT_TRUE(json.at("milliseconds").is_number());
  }
}

TEST_F(CliKernel, WithoutPermissionNothingChangesAndTheWayOutIsSaid) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const std::string before = live();
  // A lock file that everyone may open, so that the refusal is the kernel's.
  chmod("/run/xtables.lock", 0666);
  const auto refused = run({"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", TAILS_IPTC,
                            "--user-map", kAccounts, "--policy", "tails-i2p", "apply"});
  EXPECT_EQ(refused.status, 3);
  EXPECT_EQ(refused.out, "");
  EXPECT_EQ(refused.err,
            "tails-iptc: cannot read table \"filter\" of IPv6: permission denied (EPERM)\n"
            "  Run as root, or use `tails-iptc show` to print the rules. Nothing was changed.\n");
  EXPECT_EQ(live(), before);
}

TEST_F(CliKernel, AHeldLockIsNamedWithItsHolder) {
  const std::string before = live();
  const int lock = open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const auto refused = with_accounts({"--wait", "0", "apply"});
  EXPECT_EQ(refused.status, 3);
  const std::string me = std::to_string(getpid());
  EXPECT_NE(refused.err.find("(process " + me +
                             ") holds the xtables lock /run/xtables.lock\n"
                             "  Wait longer with --wait SECONDS, or end that program. Nothing was changed.\n"),
            std::string::npos)
      << refused.err;
  close(lock);
  EXPECT_EQ(live(), before);
}

TEST_F(CliKernel, APolicyThatCannotBeTrustedIsRefusedAndRulesStayAsTheyWere) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const std::string before = live();
  const std::string text = "schema = 1\nname = \"x\"\n";
  file("good.toml", text);
  std::filesystem::create_symlink("good.toml", "/run/link.toml");
  file("big.toml", "");
  std::filesystem::resize_file("/run/big.toml", size_t{17} << 20);
  struct Case {
    std::string path;
    int status;
    std::string err;
  };
  const std::vector<Case> cases{
      {file("open.toml", text, 0666), 1,
       "tails-iptc: /run/open.toml is writable by everyone\n  Take that away: chmod go-w /run/open.toml\n"
       "  Nothing was changed.\n"},
      {"/run/link.toml", 1,
       "tails-iptc: /run/link.toml is a symbolic link\n  Put the file itself there, or name the file that the link "
       "points to. Nothing was changed.\n"},
      {file("latin.toml", "schema = 1\nname = \"\xff\"\n"), 1,
       "tails-iptc: /run/latin.toml is not UTF-8: byte 0xff in line 2\n  Save it as UTF-8. Nothing was changed.\n"},
      {"/run/big.toml", 1,
       "tails-iptc: /run/big.toml is larger than 16 MiB\n  A policy is a few kilobytes of text. Nothing was "
       "changed.\n"},
      {"/run/none.toml", 3,
       "tails-iptc: cannot open /run/none.toml: No such file or directory (ENOENT)\n  Check the path. Nothing was "
       "changed.\n"},
  };
  for (const Case& wrong : cases) {
    const auto refused = with_accounts({"--policy", wrong.path, "apply"});
    EXPECT_EQ(refused.status, wrong.status) << wrong.path;
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(refused.err, wrong.err);
    EXPECT_EQ(live(), before) << wrong.path;
  }
}

/// What `status` ends with on a kernel that has all of netfilter.
std::string kernel_line() {
  utsname names{};
  EXPECT_EQ(uname(&names), 0);
  return std::string("\nLinux ") + names.release + " offers all that the policy needs.\n";
}

/// The text of `status` without what it finds on the machine that runs these tests (tests/kernel/host_status_test.cpp).
std::string without_findings(std::string text) {
  const size_t start = text.find("\nOn this machine:\n");
  return start == std::string::npos ? text : text.erase(start, text.rfind("\nLinux ") - start);
}

TEST_F(CliKernel, StatusSaysWhatTheKernelOffers) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const auto text = with_accounts({"status"});
  EXPECT_TRUE(text.out.ends_with(kernel_line())) << text.out;
  const Json kernel = Json::parse(with_accounts({"--json", "status"}).out).at("kernel");
  utsname names{};
  ASSERT_EQ(uname(&names), 0);
  EXPECT_EQ(kernel.at("release"), names.release);
  EXPECT_EQ(kernel.at("ipv6"), true);
  EXPECT_EQ(kernel.at("instead"), Json::array());
  EXPECT_EQ(kernel.at("refusal"), nullptr);
  const Json& tables = kernel.at("tables");
  for (const char* const table : {"ip filter", "ip nat", "ip6 filter"}) {
    EXPECT_NE(std::find(tables.begin(), tables.end(), table), tables.end()) << table;
  }
  std::map<std::string, Json> revisions;
  for (const Json& extension : kernel.at("extensions")) {
    revisions[extension.at("kind").get<std::string>() + " " + extension.at("name").get<std::string>() + " " +
              std::to_string(extension.at("family").get<int>())] = extension.at("revisions");
  }
  EXPECT_EQ(revisions["match owner 4"], Json::array({1}));
  EXPECT_EQ(revisions["match conntrack 6"], Json::array({1, 2, 3}));
  EXPECT_EQ(revisions["target REJECT 6"], Json::array({0}));
}

TEST_F(CliKernel, OrLockdownBlocksEverythingWhereThePolicyIsBroken) {
  const std::string broken = file("broken.toml", "schema = 1\nname = \"x\"\nlann = 3\n");
  const auto locked = with_accounts({"--policy", broken, "apply", "--or-lockdown"});
  EXPECT_EQ(locked.status, 4);
  EXPECT_TRUE(locked.err.starts_with("/run/broken.toml:3:1: ")) << locked.err;
  EXPECT_TRUE(locked.err.ends_with("  All traffic is blocked.\n")) << locked.err;
  const auto status = with_accounts({"status"});
  EXPECT_EQ(status.status, 1);
  EXPECT_EQ(without_findings(status.out),
            "Locked down: everything is blocked. `tails-iptc apply` puts policy \"tails\" in place.\n" + kernel_line());
  EXPECT_EQ(testbed::try_tcp({kLoopbackV4, 9}, {}, std::chrono::milliseconds(100)), ETIMEDOUT);
}

TEST_F(CliKernel, LockdownNeedsNoPolicyAndNoAccounts) {
  const auto locked = tails_iptc({"--policy", "/run/none.toml", "lockdown"});
  EXPECT_EQ(locked.status, 0) << locked.err;
  EXPECT_EQ(
      without_time(locked.out),
      "Locked down: nothing gets in or out; only what is established on loopback goes on. `tails-iptc apply` puts "
      "the policy back.");
  EXPECT_EQ(testbed::try_tcp({kLoopbackV4, 9}, {}, std::chrono::milliseconds(100)), ETIMEDOUT);
}

TEST_F(CliKernel, ResetIsRefusedUntilOpenIsMeant) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const std::string before = live();
  const auto refused = tails_iptc({"reset"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(
      refused.err,
      "tails-iptc: reset opens this machine: it needs --open\n"
      "  Without the filter every program of every user reaches the network directly, without Tor, and gives away "
      "who and where you are. If that is what you want: `tails-iptc reset --open`. To block everything instead: "
      "`tails-iptc lockdown`. Nothing was changed.\n");
  EXPECT_EQ(live(), before);
  const auto opened = tails_iptc({"reset", "--open"});
  EXPECT_EQ(opened.status, 0);
  EXPECT_EQ(without_time(opened.out),
            "Open: the filter is removed. Every program now reaches the network directly, without Tor.");
  const auto status = with_accounts({"status"});
  EXPECT_EQ(status.status, 1);
  EXPECT_EQ(without_findings(status.out),
            "Open: this machine has no filter. `tails-iptc apply` puts policy \"tails\" in place.\n" + kernel_line());
}

TEST_F(CliKernel, StatusNamesDriftAndOtherTables) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  run({"iptables-legacy", "-I", "OUTPUT", "-j", "ACCEPT"});
  run({"iptables-legacy", "-t", "mangle", "-A", "OUTPUT", "-j", "MARK", "--set-mark", "1"});
  const auto status = with_accounts({"status"});
  EXPECT_EQ(status.status, 1);
  EXPECT_EQ(
      without_findings(status.out),
      "Drift: the live rules are not those of policy \"tails\": IPv4 filter differs. `tails-iptc apply` mends it.\n"
      "\nIPv4 filter\n  + -A OUTPUT -j ACCEPT\n"
      "\nOther tables with rules, which no policy governs:\n  IPv4 mangle: 1 rule\n" +
          kernel_line());
  const Json json = Json::parse(with_accounts({"--json", "status"}).out);
  EXPECT_EQ(json.at("in_force"), false);
  EXPECT_EQ(json.at("state"), "drift");
  EXPECT_EQ(json.at("other_tables"), Json::parse(R"([{"family": 4, "table": "mangle", "rules": 1}])"));
}

TEST_F(CliKernel, StatusCountsForEachEntryOfThePolicy) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  // Root may not use SOCKS; it may use the control port, where nobody listens.
  EXPECT_EQ(testbed::try_tcp({kLoopbackV4, 9050}), ECONNREFUSED);
  EXPECT_EQ(testbed::try_tcp({kLoopbackV4, 9052}), ECONNREFUSED);
  std::map<std::string, uint64_t> packets;
  const Json status = Json::parse(with_accounts({"--json", "status"}).out);
  ASSERT_EQ(status.at("state"), "in-force");
  for (const Json& entry : status.at("entries")) {
    packets[entry.at("entry").get<std::string>() + " " + entry.at("verdict").get<std::string>()] = entry.at("packets");
  }
  EXPECT_EQ(packets["service \"Tor control port\" ACCEPT"], 1U);
  EXPECT_EQ(packets["service \"Tor SOCKS\" ACCEPT"], 0U);
  EXPECT_EQ(packets["[blocked] REJECT"], 1U);
}

TEST_F(CliKernel, ExplainOfTheLiveRulesNamesThePolicyEntry) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const Json json =
      Json::parse(with_accounts({"--json", "explain", "--user", "amnesia", "--to", "127.192.0.5", "live"}).out);
  EXPECT_EQ(json.at("verdict"), "accept");
  EXPECT_EQ(json.at("redirected_to"), "127.0.0.1:9040");
  EXPECT_EQ(json.at("entry"), "service \"Any local TCP port\"");
  EXPECT_EQ(json.at("logged"), false);
  EXPECT_EQ(json.at("packet").at("uid"), 1000);
  EXPECT_EQ(json.at("packet").at("out"), "lo");
}

}  // namespace
}  // namespace tails::test
