/// `status` and `apply --host` about the machine itself: parameters, resolver, other filters; on real namespaces and
/// with an /etc of the test's own.

#include <unistd.h>

#include <filesystem>

#include <nlohmann/json.hpp>

#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/host_status.h"

namespace tails::testbed {
namespace {

using Json = nlohmann::json;

TEST_F(HostStatus, CleanMachineIsSilentAndTheAnswerIsYes) {
  expect_clean();
  EXPECT_NE(tails_iptc({"--json", "status"}).out.find("\"findings\": []"), std::string::npos);
  EXPECT_EQ(contents("/etc/resolv.conf"), "nameserver 127.0.0.1\n");
}

TEST_F(HostStatus, EveryParameterThatIsWrongIsNamedAndApplyHostMendsIt) {
  struct Case {
    std::string name;
    std::string wrong;
    std::string fact;
    std::string wanted;
  };
  const std::vector<Case> cases = {
      {"net.ipv4.tcp_mtu_probing", "0", "is 0, the policy wants 1", "1"},
      {"net.ipv4.icmp_ratemask", "6168", "is 6168, the policy wants 6160", "6160"},
      {"net.ipv6.conf.all.disable_ipv6", "0", "is 0, the policy wants 1", "1"},
      {"net.ipv6.conf.default.disable_ipv6", "0", "is 0, the policy wants 1", "1"},
      {"net.ipv6.conf.lo.disable_ipv6", "1", "is 1, the policy wants 0", "0"},
      {"net.ipv4.ip_forward", "1", "is 1: this machine forwards packets, and no guest needs it", "0"},
      {"net.ipv4.conf.all.route_localnet", "1", "is 1: packets for 127.0.0.0/8 from outside reach loopback services",
       "0"},
      {"net.ipv4.conf.eth0.route_localnet", "1", "is 1: packets for 127.0.0.0/8 from outside reach loopback services",
       "0"},
      {"net.ipv4.conf.eth0.accept_redirects", "1", "is 1: neighbours may change routes (ICMP redirects)", "0"},
      {"net.ipv4.conf.eth0.rp_filter", "0", "is 0: sources of packets are not checked", "2"},
      {"net.ipv4.conf.default.rp_filter", "0", "is 0: sources of packets are not checked", "2"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    TAILS_ASSERT_OK(set_sysctl(one.name, one.wrong));
    expect_finding(one.name + " " + one.fact, "tails-iptc apply --host, or sysctl -w " + one.name + "=" + one.wanted);
    EXPECT_EQ(tails_iptc({"apply", "--host"}).status, 0);
    expect_clean();
  }
  // The order in which they were written left ::1 alive.
  auto listener = listen_tcp({kLoopbackV6, 4101});
  TAILS_ASSERT_OK(listener);
}

TEST_F(HostStatus, ForwardingIsNoFindingWhileAGuestNeedsIt) {
  ASSERT_EQ(tails_iptc({"netns", "up"}).status, 0);
  expect_clean();
  EXPECT_EQ(tails_iptc({"apply", "--host"}).status, 0);
  EXPECT_EQ(*get_sysctl("net.ipv4.ip_forward"), "1");
  ASSERT_EQ(tails_iptc({"netns", "down"}).status, 0);
  expect_clean();
}

TEST_F(HostStatus, LeftOverAndHalfMadeNamespacesAreNamed) {
  ASSERT_EQ(tails_iptc({"netns", "up", "tbb", "tca"}).status, 0);
  std::string text = contents(kPolicy);
  const size_t start = text.find("[[namespace]]\nname = \"tca\"");
  text.erase(start, text.find("[[namespace]]", start + 1) - start);
  write(kPolicy, text);
  ASSERT_EQ(tails_iptc({"apply"}).status, 0);
  expect_finding("tca is up, and the policy does not declare it (any more)", "tails-iptc netns down tca");
  TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "link", "set", "veth-tbb", "down"}}));
  expect_finding("tbb is half-made", "tails-iptc netns up tbb, or tails-iptc netns down tbb");
}

TEST_F(HostStatus, TableOfNfTablesIsNamedAndItsRemedyWorks) {
  TAILS_ASSERT_OK(run_checked({.arguments = {"nft", "add table inet mine; add chain inet mine unhooked"}}));
  expect_clean();
  TAILS_ASSERT_OK(run_checked(
      {.arguments = {"nft",
                     "add chain inet mine in { type filter hook input priority 0 ; }; add rule inet mine in tcp "
                     "dport 22 accept"}}));
  expect_finding("nf_tables table inet mine judges packets besides this policy: 1 rule in chains in",
                 "nft delete table inet mine, and keep what loads it from doing so again");
  TAILS_ASSERT_OK(run_checked({.arguments = {"nft", "delete table inet mine"}}));
  expect_clean();
}

TEST_F(HostStatus, TableOfXtablesThatIsNotThePolicysIsNamed) {
  TAILS_ASSERT_OK(run_checked({.arguments = {"iptables-legacy", "-t", "mangle", "-A", "OUTPUT", "-j", "ACCEPT"}}));
  EXPECT_NE(status().find("Other tables with rules, which no policy governs:\n  IPv4 mangle: 1 rule\n"),
            std::string::npos);
}

TEST_F(HostStatus, ResolverProxyAndProgramsAreNamedByStatus) {
  write("/etc/resolv.conf", "nameserver 198.51.100.53\n");
  write("/etc/environment", "http_proxy=http://192.0.2.8:3128\n");
  std::filesystem::create_directories("/etc/ufw");
  write("/etc/ufw/ufw.conf", "ENABLED=yes\n");
  expect_finding(
      "/etc/resolv.conf names the resolver 198.51.100.53 besides Tor's",
      "Let it be a file that says `nameserver 127.0.0.1` and nothing else: `tails-iptc apply --host` writes it.");
  expect_finding("/etc/environment http_proxy is http://192.0.2.8:3128, which is not on this machine",
                 "Name a proxy on loopback that the policy grants, or remove the setting.");
  expect_finding("ufw is enabled and loads rules of its own", "ufw disable");
  const std::string json = tails_iptc({"--json", "status"}).out;
  EXPECT_NE(json.find("\"topic\": \"filter\""), std::string::npos) << json;
}

/// /usr/sbin with all that this machine has there, and room for what a test puts there.
class ProgramsFolder {
 public:
  ProgramsFolder() {
    if (mkdir("/run/programs", 0755) != 0 || mount("/usr/sbin", "/run/programs", nullptr, MS_BIND, nullptr) != 0 ||
        mount("tmpfs", "/usr/sbin", "tmpfs", 0, "mode=755") != 0) {
      return;
    }
    for (const auto& program : std::filesystem::directory_iterator("/run/programs")) {
      std::filesystem::create_symlink(program.path(), "/usr/sbin/" + program.path().filename().string());
    }
    is_open = true;
  }
  ProgramsFolder(const ProgramsFolder&) = delete;
  ProgramsFolder& operator=(const ProgramsFolder&) = delete;
  ~ProgramsFolder() {
    umount2("/usr/sbin", MNT_DETACH);
    umount2("/run/programs", MNT_DETACH);
  }
  bool is_open = false;
};

TEST_F(HostStatus, EachFindingOfAFileIsNamedWithItsRemedyAndNothingElseIs) {
  const ProgramsFolder programs;
  ASSERT_TRUE(programs.is_open);
  struct Case {
    std::vector<std::pair<std::string, std::string>> files;  ///< Path and text; "-> TARGET": a link.
    std::string topic, subject, fact, remedy;
  };
  const std::string to_tor =
      "Let it be a file that says `nameserver 127.0.0.1` and nothing else: `tails-iptc apply --host` writes it.";
  const std::string proxy = "Name a proxy on loopback that the policy grants, or remove the setting.";
  const std::vector<Case> cases = {
      {{{"/etc/resolv.conf", "search example.org\n"}},
       "resolver",
       "/etc/resolv.conf",
       "does not name the resolver 127.0.0.1",
       to_tor},
      {{{"/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.53\n"}},
       "resolver",
       "/etc/resolv.conf",
       "names the resolver 192.0.2.53 besides Tor's",
       to_tor},
      {{{"/run/other-resolv.conf", "nameserver 127.0.0.1\n"}, {"/etc/resolv.conf", "-> /run/other-resolv.conf"}},
       "resolver",
       "/etc/resolv.conf",
       "is a link to /run/other-resolv.conf, which another program writes",
       "rm /etc/resolv.conf && tails-iptc apply --host"},
      {{{"/usr/sbin/NetworkManager", ""}, {"/etc/NetworkManager/conf.d/none.conf", "[main]\ndns=default\n"}},
       "resolver",
       "NetworkManager",
       "writes /etc/resolv.conf (dns=default, /etc/NetworkManager/conf.d/none.conf)",
       "printf '[main]\\ndns=none\\n' > /etc/NetworkManager/conf.d/zz-tails-iptc.conf && systemctl reload "
       "NetworkManager"},
      {{{"/usr/sbin/resolvconf", ""}, {"/run/resolvconf/enable-updates", ""}},
       "resolver",
       "resolvconf",
       "writes the resolvers of each network into /etc/resolv.conf",
       "resolvconf --disable-updates, or remove the package"},
      {{{"/usr/sbin/dhclient", ""}, {"/etc/dhcp/dhclient.conf", ""}},
       "resolver",
       "dhclient",
       "writes the resolvers that a DHCP server names into /etc/resolv.conf",
       "Add `supersede domain-name-servers 127.0.0.1;` to /etc/dhcp/dhclient.conf."},
      {{{"/run/systemd/resolve/stub-resolv.conf", ""}},
       "resolver",
       "systemd-resolved",
       "is at work and asks the resolvers of each network for whoever asks it",
       "systemctl disable --now systemd-resolved"},
      {{{"/etc/nsswitch.conf", "hosts: files resolve dns\n"}},
       "resolver",
       "/etc/nsswitch.conf",
       "sends host names to systemd-resolved, past /etc/resolv.conf",
       "Remove the word `resolve` from the line `hosts:`."},
      {{{"/etc/environment", "https_proxy=http://192.0.2.8:3128\n"}},
       "proxy",
       "/etc/environment",
       "https_proxy is http://192.0.2.8:3128, which is not on this machine",
       proxy},
      {{{"/etc/apt/apt.conf.d/80proxy", "Acquire::http::Proxy \"http://192.0.2.8:3128\";\n"}},
       "proxy",
       "/etc/apt/apt.conf.d/80proxy",
       "Acquire::http::Proxy is http://192.0.2.8:3128, which is not on this machine",
       proxy},
      {{{"/etc/sysctl.d/90-mine.conf", "net.ipv4.tcp_mtu_probing = 0\n"}},
       "sysctl",
       "net.ipv4.tcp_mtu_probing",
       "will be 0 after the next boot (/etc/sysctl.d/90-mine.conf), the policy wants 1",
       "Remove that line, or tails-iptc apply --host --persist."},
      {{{"/etc/ufw/ufw.conf", "ENABLED=yes\n"}},
       "filter",
       "ufw",
       "is enabled and loads rules of its own",
       "ufw disable"},
      {{{"/run/firewalld/locked", ""}},
       "filter",
       "firewalld",
       "is at work or enabled, and loads rules of its own",
       "systemctl disable --now firewalld"},
      {{{"/run/docker.sock", ""}},
       "filter",
       "docker",
       "is at work or enabled, forwards for its containers and adds rules for them",
       "systemctl disable --now docker.service docker.socket"},
      {{{"/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service", "-> /dev/null"}},
       "filter",
       "netfilter-persistent",
       "loads the rules in /etc/iptables at boot",
       "systemctl disable netfilter-persistent"},
      {{{"/etc/systemd/system/sysinit.target.wants/nftables.service", "-> /dev/null"}},
       "filter",
       "nftables.service",
       "loads /etc/nftables.conf at boot",
       "systemctl disable --now nftables"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.fact);
    std::vector<std::pair<std::string, std::string>> before;
    for (const auto& [path, text] : one.files) {
      const bool was_there = std::filesystem::exists(path);
      before.emplace_back(path, was_there ? contents(path) : "(none)");
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      if (text.starts_with("-> ")) {
        std::filesystem::remove(path);
        std::filesystem::create_symlink(text.substr(3), path);
      } else {
        write(path, text);
      }
    }
    const Json said = Json::parse(tails_iptc({"--json", "status"}).out).at("findings");
    const Json wanted =
        Json::array({{{"topic", one.topic}, {"subject", one.subject}, {"fact", one.fact}, {"remedy", one.remedy}}});
    EXPECT_EQ(said, wanted);
    for (const auto& [path, text] : before) {
      std::filesystem::remove(path);
      if (text != "(none)") write(path, text);
    }
    std::filesystem::remove_all("/run/firewalld");
  }
  expect_clean();
}

TEST_F(HostStatus, ApplyHostForLaterBootsWritesAFileAndDryRunWritesNothing) {
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_mtu_probing", "0"));
  auto command = words({"apply", "--host", "--persist", "--dry-run"});
  std::erase(command, "-q");
  const auto dry = run({.arguments = std::move(command)});
  TAILS_ASSERT_OK(dry);
  EXPECT_NE(dry->out.find("Would also set 1 kernel parameter, write /etc/sysctl.d/zz-tails-iptc.conf."),
            std::string::npos)
      << dry->out;
  EXPECT_EQ(*get_sysctl("net.ipv4.tcp_mtu_probing"), "0");
  EXPECT_FALSE(std::filesystem::exists("/etc/sysctl.d/zz-tails-iptc.conf"));
  ASSERT_EQ(tails_iptc({"apply", "--host", "--persist"}).status, 0);
  const std::string file = contents("/etc/sysctl.d/zz-tails-iptc.conf");
  const size_t all = file.find("net.ipv6.conf.all.disable_ipv6 = 1\n");
  const size_t loopback = file.find("net.ipv6.conf.lo.disable_ipv6 = 0\n");
  EXPECT_NE(all, std::string::npos) << file;
  EXPECT_LT(all, loopback) << file;
}

TEST_F(HostStatus, HostSettingsGoBackWhereTheRulesAreRefused) {
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_mtu_probing", "0"));
  write("/etc/resolv.conf", "nameserver 192.0.2.53\n");
  ASSERT_EQ(mkdir("/run/xtables.lock.d", 0755), 0);
  auto command = words({"apply", "--host"});
  // A lock that cannot be opened: the transaction is refused.
  const auto refused = run({.arguments = std::move(command), .environment = {"XTABLES_LOCKFILE=/run/xtables.lock.d"}});
  TAILS_ASSERT_OK(refused);
  EXPECT_EQ(refused->status, 3) << refused->err;
  EXPECT_EQ(*get_sysctl("net.ipv4.tcp_mtu_probing"), "0");
  EXPECT_EQ(contents("/etc/resolv.conf"), "nameserver 192.0.2.53\n");
}

TEST_F(HostStatus, PrometheusFileIsWrittenWholeAndSaysWhatStatusSays) {
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_mtu_probing", "0"));
  std::filesystem::create_directories("/run/collector");
  ASSERT_EQ(tails_iptc({"status", "--prometheus", "/run/collector/tails.prom"}).status, 0);
  const std::string text = contents("/run/collector/tails.prom");
  for (const char* line :
       {"# TYPE tails_iptc_in_force gauge\ntails_iptc_in_force{policy=\"tails\"} 1\n",
        "tails_iptc_state{state=\"drift\"} 0\n", "tails_iptc_findings{topic=\"sysctl\"} 1\n",
        "tails_iptc_findings{topic=\"filter\"} 0\n", "tails_iptc_table_as_wanted{family=\"4\",table=\"filter\"} 1\n",
        "tails_iptc_session_exceptions 0\n", "tails_iptc_entry_packets_total{entry=\""}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
  }
  // Beside it lies nothing half-written; and another state is another text.
  size_t files = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator("/run/collector")) ++files;
  EXPECT_EQ(files, 1U);
  ASSERT_EQ(tails_iptc({"lockdown"}).status, 0);
  EXPECT_EQ(tails_iptc({"status", "--prometheus", "/run/collector/tails.prom"}).status, 1);
  EXPECT_NE(contents("/run/collector/tails.prom").find("tails_iptc_state{state=\"locked-down\"} 1\n"),
            std::string::npos);
  EXPECT_EQ(tails_iptc({"status", "--prometheus", "/run/no/such/folder/x"}).status, 3);
}

}  // namespace
}  // namespace tails::testbed
