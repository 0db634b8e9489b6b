#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "host/resolver_audit.h"
#include "host/sysctl_audit.h"

namespace tails::host {

void PrintTo(const Finding& finding, std::ostream* out) {
  *out << finding.topic << " | " << finding.subject << " | " << finding.fact << " | " << finding.remedy;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr IpAddress kResolver = IpAddress::v4(127, 0, 0, 1);

/// A machine's files in a folder of its own; each test prepares what it is about.
class Audit : public testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "tails-audit-" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    put("/etc/resolv.conf", "# by hand\nnameserver 127.0.0.1\n");
    put("/etc/nsswitch.conf", "hosts: files dns\n");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void link(const std::string& path, const std::string& target) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::filesystem::remove(root_ + path);
    std::filesystem::create_symlink(target, root_ + path);
  }
  [[nodiscard]] MachineFiles files() const { return MachineFiles(root_); }
  [[nodiscard]] Findings resolver() const { return audit_resolver(files(), kResolver); }

  std::string root_;
};

constexpr const char* kWriteResolvConf =
    "Let it be a file that says `nameserver 127.0.0.1` and nothing else: `tails-iptc apply --host` writes it.";

TEST_F(Audit, CleanMachineIsSilent) {
  put("/usr/sbin/NetworkManager", "");
  put("/usr/lib/NetworkManager/conf.d/10-distribution.conf", "[main]\ndns=dnsmasq\n");
  put("/etc/NetworkManager/conf.d/dns.conf", "[connection]\ndns=default\n[main]\n dns = none\n");
  put("/usr/sbin/dhclient", "");
  put("/etc/dhcp/dhclient.conf", "request subnet-mask;\nsupersede domain-name-servers 127.0.0.1;\n");
  put("/sbin/resolvconf", "");
  put("/etc/environment",
      "http_proxy=\"http://127.0.0.1:8118/\"\nALL_PROXY=socks5h://[::1]:9050\nno_proxy=example.org\n");
  put("/etc/apt/apt.conf.d/80proxy", "Acquire::http::Proxy \"socks5h://localhost:9050\";\n");
  put("/etc/ufw/ufw.conf", "ENABLED=no\n");
  put("/etc/sysctl.d/10.conf", "net.ipv4.tcp_mtu_probing = 1\n");
  EXPECT_THAT(resolver(), IsEmpty());
  EXPECT_THAT(audit_proxies(files()), IsEmpty());
  EXPECT_THAT(audit_filter_programs(files()), IsEmpty());
  EXPECT_THAT(audit_sysctl_files(files(), {{"net.ipv4.tcp_mtu_probing", 1}}), IsEmpty());
}

TEST_F(Audit, EmptyMachineSaysOnlyThatNoResolverIsNamed) {
  std::filesystem::remove_all(root_);
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "/etc/resolv.conf",
                                              "cannot be read; programs then ask 127.0.0.1", kWriteResolvConf}));
  EXPECT_THAT(audit_proxies(files()), IsEmpty());
  EXPECT_THAT(audit_filter_programs(files()), IsEmpty());
}

TEST_F(Audit, OtherResolverIsNamed) {
  put("/etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.53\n");
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "/etc/resolv.conf",
                                              "names the resolver 192.0.2.53 besides Tor's", kWriteResolvConf}));
  put("/etc/resolv.conf", "search example.org\n");
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "/etc/resolv.conf", "does not name the resolver 127.0.0.1",
                                              kWriteResolvConf}));
}

TEST_F(Audit, LinkToAnotherProgramsFileIsNamedAndItsContentRead) {
  put("/run/NetworkManager/resolv.conf", "nameserver 127.0.0.1\n");
  link("/etc/resolv.conf", "/run/NetworkManager/resolv.conf");
  EXPECT_THAT(resolver(),
              ElementsAre(Finding{"resolver", "/etc/resolv.conf",
                                  "is a link to /run/NetworkManager/resolv.conf, which another program writes",
                                  "rm /etc/resolv.conf && tails-iptc apply --host"}));
}

TEST_F(Audit, NetworkManagerThatWritesResolvConfIsNamedWithTheFileThatSaysSo) {
  put("/usr/sbin/NetworkManager", "");
  const std::string remedy =
      "printf '[main]\\ndns=none\\n' > /etc/NetworkManager/conf.d/zz-tails-iptc.conf && systemctl reload "
      "NetworkManager";
  EXPECT_THAT(
      resolver(),
      ElementsAre(Finding{"resolver", "NetworkManager",
                          "writes /etc/resolv.conf (dns=default, /etc/NetworkManager/NetworkManager.conf)", remedy}));
  put("/etc/NetworkManager/conf.d/10-none.conf", "[main]\ndns=none\n");
  put("/etc/NetworkManager/conf.d/20-resolved.conf", "[main]\ndns=systemd-resolved\n");
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "NetworkManager",
                                              "writes /etc/resolv.conf (dns=systemd-resolved, "
                                              "/etc/NetworkManager/conf.d/20-resolved.conf)",
                                              remedy}));
}

TEST_F(Audit, ResolvconfAtWorkIsNamed) {
  put("/usr/sbin/resolvconf", "");
  put("/run/resolvconf/enable-updates", "");
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "resolvconf",
                                              "writes the resolvers of each network into /etc/resolv.conf",
                                              "resolvconf --disable-updates, or remove the package"}));
}

TEST_F(Audit, DhclientThatTakesTheNetworksResolversIsNamedUnlessAHookForbidsIt) {
  put("/sbin/dhclient", "");
  put("/etc/dhcp/dhclient.conf", "#supersede domain-name-servers 127.0.0.1;\n");
  EXPECT_THAT(
      resolver(),
      ElementsAre(Finding{"resolver", "dhclient", "writes the resolvers that a DHCP server names into /etc/resolv.conf",
                          "Add `supersede domain-name-servers 127.0.0.1;` to /etc/dhcp/dhclient.conf."}));
  put("/etc/dhcp/dhclient-enter-hooks.d/nodns", "make_resolv_conf() { :; }\n");
  EXPECT_THAT(resolver(), IsEmpty());
}

TEST_F(Audit, SystemdResolvedIsNamedWhereItIsAtWorkAndWhereItIsAsked) {
  put("/run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
  put("/etc/nsswitch.conf", "passwd: files\nhosts: files resolve [!UNAVAIL=return] dns\n");
  EXPECT_THAT(resolver(), ElementsAre(Finding{"resolver", "systemd-resolved",
                                              "is at work and asks the resolvers of each network for whoever asks it",
                                              "systemctl disable --now systemd-resolved"},
                                      Finding{"resolver", "/etc/nsswitch.conf",
                                              "sends host names to systemd-resolved, past /etc/resolv.conf",
                                              "Remove the word `resolve` from the line `hosts:`."}));
}

TEST_F(Audit, ProxiesOutsideThisMachineAreNamed) {
  put("/etc/environment", "export HTTPS_PROXY='http://u:p@192.0.2.8:3128'\n");
  put("/etc/apt/apt.conf.d/80proxy",
      "// Acquire::ftp::Proxy \"http://203.0.113.1\";\nAcquire::http::Proxy \"http://proxy.example.org:3128\";\n");
  const std::string remedy = "Name a proxy on loopback that the policy grants, or remove the setting.";
  EXPECT_THAT(audit_proxies(files()),
              ElementsAre(Finding{"proxy", "/etc/environment",
                                  "HTTPS_PROXY is http://u:p@192.0.2.8:3128, which is not on this machine", remedy},
                          Finding{"proxy", "/etc/apt/apt.conf.d/80proxy",
                                  "Acquire::http::Proxy is http://proxy.example.org:3128, which is not on this machine",
                                  remedy}));
}

TEST_F(Audit, EveryProgramThatLoadsRulesOfItsOwnIsNamedWithItsRemedy) {
  put("/etc/ufw/ufw.conf", "ENABLED=yes\nLOGLEVEL=low\n");
  put("/run/firewalld/locked", "");
  put("/run/docker.sock", "");
  link("/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service", "/lib/systemd/system/x");
  link("/etc/systemd/system/sysinit.target.wants/nftables.service", "/lib/systemd/system/nftables.service");
  EXPECT_THAT(audit_filter_programs(files()),
              ElementsAre(Finding{"filter", "ufw", "is enabled and loads rules of its own", "ufw disable"},
                          Finding{"filter", "firewalld", "is at work or enabled, and loads rules of its own",
                                  "systemctl disable --now firewalld"},
                          Finding{"filter", "docker",
                                  "is at work or enabled, forwards for its containers and adds rules for them",
                                  "systemctl disable --now docker.service docker.socket"},
                          Finding{"filter", "netfilter-persistent", "loads the rules in /etc/iptables at boot",
                                  "systemctl disable netfilter-persistent"},
                          Finding{"filter", "nftables.service", "loads /etc/nftables.conf at boot",
                                  "systemctl disable --now nftables"}));
}

TEST_F(Audit, BootThatSetsAParameterOtherwiseIsNamedWithTheLastFileThatDoes) {
  const std::map<std::string, int64_t> wanted = {{"net.ipv4.tcp_mtu_probing", 1},
                                                 {"net.ipv6.conf.all.disable_ipv6", 1}};
  put("/usr/lib/sysctl.d/50-default.conf", "net.ipv4.tcp_mtu_probing = 2\n-net.ipv6.conf.all.disable_ipv6=0\n");
  put("/etc/sysctl.d/60-mine.conf", "net/ipv4/tcp_mtu_probing=0\n");
  EXPECT_THAT(audit_sysctl_files(files(), wanted),
              ElementsAre(Finding{"sysctl", "net.ipv4.tcp_mtu_probing",
                                  "will be 0 after the next boot (/etc/sysctl.d/60-mine.conf), the policy wants 1",
                                  "Remove that line, or tails-iptc apply --host --persist."},
                          Finding{"sysctl", "net.ipv6.conf.all.disable_ipv6",
                                  "will be 0 after the next boot (/usr/lib/sysctl.d/50-default.conf), the policy "
                                  "wants 1",
                                  "Remove that line, or tails-iptc apply --host --persist."}));
  // A file of the same name in /etc takes the whole place of the other.
  put("/etc/sysctl.d/50-default.conf", "");
  put("/etc/sysctl.d/60-mine.conf", "");
  EXPECT_THAT(audit_sysctl_files(files(), wanted), IsEmpty());
}

TEST(SettingsOrder, AllAndDefaultComeBeforeSingleInterfaces) {
  const Settings settings = in_order({{"net.ipv4.tcp_mtu_probing", 1},
                                      {"net.ipv6.conf.lo.disable_ipv6", 0},
                                      {"net.ipv6.conf.default.disable_ipv6", 1},
                                      {"net.ipv6.conf.all.disable_ipv6", 1}});
  EXPECT_THAT(
      settings,
      ElementsAre(std::pair("net.ipv6.conf.all.disable_ipv6", 1), std::pair("net.ipv6.conf.default.disable_ipv6", 1),
                  std::pair("net.ipv4.tcp_mtu_probing", 1), std::pair("net.ipv6.conf.lo.disable_ipv6", 0)));
}

}  // namespace
}  // namespace tails::host
