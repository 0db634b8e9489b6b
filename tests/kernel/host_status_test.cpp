/// `status` and `apply --host` about the machine itself: parameters, resolver, other filters; on real namespaces and
/// with an /etc of the test's own.

#include <linux/bpf.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

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
  static void expect_clean() { EXPECT_EQ(status().find("On this machine:"), std::string::npos) << status(); }
  static void expect_finding(const std::string& subject_and_fact, const std::string& remedy) {
    EXPECT_NE(status().find("\n  " + subject_and_fact + ".\n      " + remedy + "\n"), std::string::npos)
        << subject_and_fact << "\n"
        << status();
  }

  std::optional<NetworkNamespace> space_;
  std::optional<Inside> inside_;
};

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

/// An XDP program that passes everything, attached as long as the descriptor is open; -1 with errno.
int attach_xdp(const char* interface) {
  // r0 = XDP_PASS; exit
  const std::array<bpf_insn, 2> program = {
      {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, XDP_PASS}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = reinterpret_cast<uintptr_t>(program.data());
  load.insn_cnt = program.size();
  load.license = reinterpret_cast<uintptr_t>("GPL");
  const Descriptor loaded(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load)));
  if (!loaded.is_open()) return -1;
  bpf_attr attach{};
  attach.link_create.prog_fd = static_cast<uint32_t>(loaded.get());
  attach.link_create.target_ifindex = if_nametoindex(interface);
  attach.link_create.attach_type = BPF_XDP;
  return static_cast<int>(syscall(SYS_bpf, BPF_LINK_CREATE, &attach, sizeof attach));
}

TEST_F(HostStatus, XdpProgramOnAnInterfaceIsNamed) {
  const Descriptor attached(attach_xdp("eth0"));
  if (!attached.is_open()) GTEST_SKIP() << "this kernel lets nobody attach XDP programs: " << errno_name(errno);
  expect_finding("eth0 has an XDP program (eBPF), which sees packets before every table",
                 "ip link set dev eth0 xdp off");
}

TEST_F(HostStatus, TrafficControlFilterIsNamed) {
  const auto discipline = run({.arguments = {"tc", "qdisc", "add", "dev", "eth0", "clsact"}});
  TAILS_ASSERT_OK(discipline);
  const auto filter = run({.arguments = {"tc", "filter", "add", "dev", "eth0", "egress", "u32", "match", "u32", "0",
                                         "0", "flowid", "1:1"}});
  TAILS_ASSERT_OK(filter);
  ASSERT_EQ(filter->status, 0) << filter->err;
  expect_finding(
      "eth0 has a traffic control filter (u32) on egress, which may drop, change or redirect packets past every "
      "table",
      "tc filter del dev eth0 egress");
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
