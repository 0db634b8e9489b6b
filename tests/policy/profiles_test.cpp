// The built-in profiles: free of warnings, and who reaches what under each, restated independently of the files.
#include "policy/profiles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "policy/decide.h"
#include "policy/read.h"
#include "tests/policy/generators.h"
#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

using namespace policy;

/// Every account of the profiles, and one that no policy names.
std::map<std::string, Uid> everyone() {
  std::map<std::string, Uid> users;
  for (const auto& [name, uid] : profile_users()) users[name] = uid;
  users["amnesia"] = Uid{1000};
  users["stranger"] = Uid{4242};
  return users;
}

Packet opening(uint8_t number, const IpAddress& to, Port port, Uid uid, const char* out) {
  Packet packet;
  packet.protocol = number;
  packet.source = to.family == Family::kIpv6 ? kLoopbackV6 : IpAddress::v4(192, 168, 1, 5);
  packet.destination = to;
  packet.source_port = 40000;
  packet.destination_port = port;
  packet.tcp_flags = tcp_flag::kSyn;
  packet.out = *InterfaceName::make(out);
  packet.uid = uid;
  packet.gid = Gid{uid.value};
  return packet;
}

// ---- Local services ----

/// Users that reach a port: a row of the table.
struct Row {
  const char* at;
  uint8_t protocol;
  std::vector<Port> ports;
  std::set<std::string> users;
};

constexpr uint8_t kTcp = protocol::kTcp, kUdp = protocol::kUdp;

const std::vector<Row> kTails = {
    {"127.0.0.1", kTcp, {9050}, {"_apt", "proxy", "nobody", "tails-upgrade-frontend", "amnesia"}},
    {"127.0.0.1", kTcp, {9062}, {"htp", "tails-upgrade-frontend", "amnesia"}},
    {"127.0.0.1", kTcp, {9063}, {"tails-iuk-get-target-file"}},
    {"127.0.0.1", kTcp, {9052}, {"root"}},
    {"127.0.0.1", kTcp, {951}, {"root", "amnesia"}},
    {"127.0.0.1", kUdp, {53, 5353}, {"amnesia", "htp", "root"}},
    {"127.0.0.1", kTcp, {4101}, {"Debian-gdm", "amnesia"}},
    {"127.0.0.1", kTcp, {9040, 631, 53, 5353, 1, 65535, 9051, 9061, 9049}, {"amnesia"}},
    {"::1", kTcp, {4101}, {"amnesia", "Debian-gdm"}},
};
const std::vector<Row> kI2p = {
    {"127.0.0.1", kTcp, {9050}, {"root", "proxy", "nobody", "amnesia"}},
    {"127.0.0.1", kTcp, {9061, 9150}, {"amnesia"}},
    {"127.0.0.1", kTcp, {9062}, {"amnesia", "htp", "tails-iuk-get-target-file", "tails-upgrade-frontend"}},
    {"127.0.0.1", kTcp, {9051}, {"root", "tor-launcher"}},
    {"127.0.0.1", kTcp, {9052, 9040}, {"amnesia"}},
    {"127.0.0.1", kUdp, {53, 5353}, {"amnesia", "i2psvc"}},
    {"127.0.0.2", kUdp, {53}, {"amnesia"}},
    {"127.0.0.2", kTcp, {53}, {"amnesia"}},
    {"127.0.0.1", kTcp, {4101, 631, 6136}, {"amnesia"}},
    {"127.0.0.1", kTcp, {6668, 7656, 8998}, {"amnesia"}},
    {"127.0.0.1", kTcp, {7659, 7660}, {"amnesia", "i2psvc"}},
    {"127.0.0.1", kTcp, {7658}, {"i2psvc", "i2pbrowser"}},
    {"127.0.0.1", kTcp, {4444, 7657}, {"i2pbrowser"}},
    {"::1", kTcp, {4101}, {"amnesia"}},
};
const std::vector<Row> kClassic = {
    {"127.0.0.1", kTcp, {9050}, {"root", "proxy", "nobody", "amnesia"}},
    {"127.0.0.1", kTcp, {9061, 9063}, {"amnesia"}},
    {"127.0.0.1", kTcp, {9062}, {"amnesia", "htp", "tails-iuk-get-target-file"}},
    {"127.0.0.1", kTcp, {9051}, {"amnesia", "root"}},
    {"127.0.0.1", kTcp, {9040, 53}, {"amnesia"}},
    {"127.0.0.1", kUdp, {53}, {"amnesia"}},
    {"127.0.0.2", kTcp, {53}, {"amnesia"}},
    {"127.0.0.2", kUdp, {53}, {"amnesia"}},
    {"127.0.0.1", kTcp, {8118}, {"root", "amnesia"}},
    {"127.0.0.1", kTcp, {4444, 4445, 6668, 7657, 7659, 7660}, {"amnesia"}},
    {"127.0.0.1", kTcp, {631, 6136}, {"amnesia"}},
};

/// Ports of every row, and their neighbours: where no row says otherwise, nobody gets there.
std::set<Port> ports_to_try() {
  std::set<Port> ports = {1, 22, 80, 443, 32000, 65535};
  for (const auto* table : {&kTails, &kI2p, &kClassic}) {
    for (const Row& row : *table) {
      for (const Port port : row.ports) {
        ports.insert({static_cast<Port>(port - 1), port, static_cast<Port>(port + 1)});
      }
    }
  }
  return ports;
}

void expect_services(const Policy& policy, const std::vector<Row>& table, const std::set<std::string>& any_tcp = {}) {
  for (const char* text : {"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.127.255.255", "::1"}) {
    const IpAddress at = *IpAddress::parse(text);
    for (const uint8_t number : {kTcp, kUdp}) {
      for (const Port port : ports_to_try()) {
        const auto row = std::ranges::find_if(table, [&](const Row& r) {
          return std::string_view(r.at) == text && r.protocol == number &&
                 std::ranges::find(r.ports, port) != r.ports.end();
        });
        std::set<std::string> expected;
        if (row != table.end()) expected = row->users;
        if (row == table.end() && number == kTcp && at == kLoopbackV4) expected = any_tcp;
        std::set<std::string> actual;
        for (const auto& [name, uid] : everyone()) {
          Packet packet = opening(number, at, port, uid, "lo");
          packet.source = at;
          if (decide(policy, packet).verdict == Verdict::kAccept) actual.insert(name);
        }
        EXPECT_EQ(actual, expected) << text << " protocol " << int{number} << " port " << port;
      }
    }
  }
}

TEST(Profile, TailsOpensItsLocalServicesToThoseWhoNeedThem) { expect_services(profile("tails"), kTails, {"amnesia"}); }

TEST(Profile, TailsI2pOpensItsLocalServicesToThoseWhoNeedThem) { expect_services(profile("tails-i2p"), kI2p); }

TEST(Profile, TailsClassicOpensItsLocalServicesToThoseWhoNeedThem) {
  expect_services(profile("tails-classic"), kClassic);
}

TEST(Profile, TailsI2pOpensNothingForI2pWhereItIsNotInstalled) {
  const std::set<Port> i2p = {6668, 7656, 7657, 7658, 7659, 7660, 8998, 4444};
  std::vector<Row> table;
  for (Row row : kI2p) {
    std::erase_if(row.ports, [&](Port port) { return i2p.contains(port); });
    row.users.erase("i2psvc");
    table.push_back(row);
  }
  expect_services(profile("tails-i2p", false), table);
}

TEST(Profile, TailsI2pOpensTheJavaWrapperByItsSourcePorts) {
  const Policy policy = profile("tails-i2p");
  const auto verdict = [&](const char* user, Port from, Port to) {
    Packet packet = opening(kTcp, kLoopbackV4, to, everyone().at(user), "lo");
    packet.source_port = from;
    return decide(policy, packet).verdict;
  };
  EXPECT_EQ(verdict("i2psvc", 31000, 32000), Verdict::kAccept);
  EXPECT_EQ(verdict("i2psvc", 31002, 32002), Verdict::kAccept);
  EXPECT_EQ(verdict("i2psvc", 30999, 32000), Verdict::kReject);
  EXPECT_EQ(verdict("i2psvc", 31003, 32000), Verdict::kReject);
  EXPECT_EQ(verdict("i2psvc", 31000, 32003), Verdict::kReject);
  EXPECT_EQ(verdict("amnesia", 31000, 32000), Verdict::kReject);
}

// ---- The network ----

/// A destination outside and what reaches it: one letter per kind of packet, in this order:
/// t: TCP 443, d: TCP 53, D: UDP 53, u: UDP 443, n: UDP 137, m: UDP 138, p: ping. A '-' where it is blocked.
std::string reach(const Policy& policy, const char* user, const char* to, const char* out = "eth0") {
  struct Kind {
    char letter;
    uint8_t protocol;
    Port port;
  };
  constexpr std::array kKinds = {Kind{'t', kTcp, 443},         Kind{'d', kTcp, 53},  Kind{'D', kUdp, 53},
                                 Kind{'u', kUdp, 443},         Kind{'n', kUdp, 137}, Kind{'m', kUdp, 138},
                                 Kind{'p', protocol::kIcmp, 0}};
  std::string result;
  for (const Kind& kind : kKinds) {
    const Packet packet = opening(kind.protocol, *IpAddress::parse(to), kind.port, everyone().at(user), out);
    const Decision decision = decide(policy, packet);
    EXPECT_TRUE(decision.verdict == Verdict::kAccept || (decision.verdict == Verdict::kReject && decision.logged));
    result += decision.verdict == Verdict::kAccept ? kind.letter : '-';
  }
  return result;
}

constexpr const char* kInternet = "203.0.113.9";
constexpr const char* kLan = "192.168.1.20";

TEST(Profile, OnlyTorAndDirectUsersReachTheInternet) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const Policy policy = profile(name);
    const bool tor_asks_dns = std::string_view(name) == "tails";
    const bool has_i2p = !tor_asks_dns;
    for (const auto& [user, uid] : everyone()) {
      std::string expected = "-------";
      if (user == "clearnet") expected = "tdD----";
      if (user == "debian-tor") expected = tor_asks_dns ? "tdD----" : "td-----";
      if (user == "i2psvc" && has_i2p) expected = "tdDunm-";
      EXPECT_EQ(reach(policy, user.c_str(), kInternet), expected) << name << " " << user;
    }
  }
}

TEST(Profile, TheLanIsOpenButForNamesAndForI2p) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const Policy policy = profile(name);
    for (const auto& [user, uid] : everyone()) {
      std::string expected = "t--u--p";
      if (user == "clearnet") expected = "tdDu--p";
      if (user == "debian-tor" && std::string_view(name) == "tails") expected = "tdDu--p";
      if (user == "i2psvc" && std::string_view(name) == "tails-i2p") expected = "-------";
      for (const char* to : {kLan, "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.255.255"}) {
        EXPECT_EQ(reach(policy, user.c_str(), to), expected) << name << " " << user << " " << to;
      }
      EXPECT_EQ(reach(policy, "stranger", "172.32.0.1"), "-------");
    }
  }
}

TEST(Profile, I2pIsDeniedTheLanAlsoWhereItIsNotInstalled) {
  const Policy policy = profile("tails-i2p", false);
  EXPECT_EQ(reach(policy, "i2psvc", kInternet), "-------");
  EXPECT_EQ(reach(policy, "i2psvc", kLan), "-------");
}

TEST(Profile, NobodyReachesLoopbackAddressesByTheWireNorTheOwnLanAddressByLoopback) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const Policy policy = profile(name);
    for (const auto& [user, uid] : everyone()) {
      EXPECT_EQ(reach(policy, user.c_str(), "127.0.0.1"), "-------") << name << " " << user;
      EXPECT_EQ(reach(policy, user.c_str(), "192.168.1.5", "lo"), "-------") << name << " " << user;
    }
  }
}

TEST(Profile, TailsHidesItsNamespacesFromTheHost) {
  const Policy policy = profile("tails");
  for (const auto& [user, uid] : everyone()) {
    for (const char* guest : {"10.200.1.2", "10.200.1.6", "10.200.1.10", "10.200.1.14", "10.200.1.18"}) {
      EXPECT_EQ(reach(policy, user.c_str(), guest, "veth-tbb"), "-------") << user << " " << guest;
      EXPECT_EQ(reach(policy, user.c_str(), guest, "eth0"), "-------") << user << " " << guest;
    }
  }
}

TEST(Profile, AutomapTakesTheLiveUserToTransPortAndNobodyElse) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const Policy policy = profile(name);
    for (const auto& [user, uid] : everyone()) {
      const Decision decision = decide(policy, opening(kTcp, IpAddress::v4(127, 192, 0, 10), 80, uid, "lo"));
      if (user == "amnesia") {
        EXPECT_EQ(decision.verdict, Verdict::kAccept) << name;
        EXPECT_EQ(decision.redirected_to, (Endpoint{kLoopbackV4, 9040})) << name;
      } else {
        EXPECT_EQ(decision.verdict, Verdict::kReject) << name << " " << user;
        EXPECT_FALSE(decision.redirected_to) << name << " " << user;
      }
    }
  }
}

TEST(Profile, SystemDnsGoesToTor) {
  const auto redirect = [](const char* name) {
    return decide(profile(name), opening(kUdp, kLoopbackV4, 53, Uid{1000}, "lo")).redirected_to;
  };
  EXPECT_EQ(redirect("tails"), (Endpoint{kLoopbackV4, 5353}));
  EXPECT_EQ(redirect("tails-i2p"), (Endpoint{kLoopbackV4, 5353}));
  EXPECT_EQ(redirect("tails-classic"), std::nullopt);
}

TEST(Profile, Ipv6GoesNowhere) {
  for (const char* name : {"tails", "tails-i2p", "tails-classic"}) {
    const Policy policy = profile(name);
    for (const auto& [user, uid] : everyone()) {
      EXPECT_EQ(reach(policy, user.c_str(), "2001:db8::1"), "-------") << name << " " << user;
      EXPECT_EQ(reach(policy, user.c_str(), "fd00::1"), "-------") << name << " " << user;
    }
  }
}

// ---- Namespaces of `tails` ----

Packet from_guest(Hook hook, const char* in, const char* from, const char* to, uint8_t number, Port port) {
  Packet packet = opening(number, *IpAddress::parse(to), port, Uid{}, "lo");
  packet.hook = hook;
  packet.uid.reset();
  packet.gid.reset();
  packet.source = *IpAddress::parse(from);
  packet.in = *InterfaceName::make(in);
  packet.out = hook == Hook::kForward ? *InterfaceName::make("eth0") : InterfaceName{};
  return packet;
}

TEST(Profile, TailsOpensToEachNamespaceItsServices) {
  const Policy policy = profile("tails");
  struct Guest {
    const char* interface;
    const char* guest;
    const char* host;
    std::set<Port> ports;
  };
  const std::array guests = {Guest{"veth-tbb", "10.200.1.2", "10.200.1.1", {9050, 951}},
                             Guest{"veth-onioncircs", "10.200.1.6", "10.200.1.5", {951}},
                             Guest{"veth-tca", "10.200.1.10", "10.200.1.9", {951}},
                             Guest{"veth-onionshare", "10.200.1.14", "10.200.1.13", {9050, 951}},
                             Guest{"veth-clearnet", "10.200.1.18", "10.200.1.17", {}}};
  for (const Guest& guest : guests) {
    for (const Port port : std::array<Port, 8>{9050, 951, 950, 9051, 9052, 5353, 53, 9040}) {
      const auto verdict = [&](const char* in, const char* from, const char* to, uint8_t number = kTcp) {
        return decide(policy, from_guest(Hook::kInput, in, from, to, number, port)).verdict;
      };
      const bool is_open = guest.ports.contains(port);
      const Verdict refused = std::string_view(guest.interface) == "veth-clearnet" ? Verdict::kReject : Verdict::kDrop;
      EXPECT_EQ(verdict(guest.interface, guest.guest, guest.host), is_open ? Verdict::kAccept : refused) << port;
      EXPECT_EQ(verdict(guest.interface, guest.guest, guest.host, kUdp), refused);
      EXPECT_EQ(verdict(guest.interface, "10.200.1.99", guest.host), refused) << "a spoofed source";
      EXPECT_EQ(verdict("eth0", guest.guest, guest.host), Verdict::kDrop) << "another interface";
      EXPECT_EQ(verdict(guest.interface, guest.guest, "192.168.1.5"), Verdict::kDrop) << "another address of the host";
    }
  }
}

TEST(Profile, TailsForwardsTheClearnetNamespaceAlone) {
  const Policy policy = profile("tails");
  const auto verdict = [&](const char* in, const char* out, ConnState state, uint8_t number = kTcp) {
    Packet packet = from_guest(Hook::kForward, in, "10.200.1.18", kInternet, number, 443);
    packet.out = *InterfaceName::make(out);
    packet.state = state;
    if (state == ConnState::kEstablished) packet.tcp_flags = tcp_flag::kAck;
    return decide(policy, packet).verdict;
  };
  using enum ConnState;
  EXPECT_EQ(verdict("veth-clearnet", "eth0", kNew), Verdict::kAccept);
  EXPECT_EQ(verdict("veth-clearnet", "wlan0", kNew, kUdp), Verdict::kAccept);
  EXPECT_EQ(verdict("veth-clearnet", "eth0", kEstablished), Verdict::kAccept);
  EXPECT_EQ(verdict("eth0", "veth-clearnet", kEstablished), Verdict::kAccept);
  EXPECT_EQ(verdict("eth0", "veth-clearnet", kNew), Verdict::kDrop);
  EXPECT_EQ(verdict("veth-clearnet", "eth0", kNew, protocol::kIcmp), Verdict::kDrop);
  EXPECT_EQ(verdict("veth-clearnet", "eth0", kRelated, protocol::kIcmp), Verdict::kDrop);
  EXPECT_EQ(verdict("veth-clearnet", "eth0", kInvalid), Verdict::kDrop);
  for (const char* other : {"veth-tbb", "veth-onioncircs", "veth-tca", "veth-onionshare"}) {
    EXPECT_EQ(verdict("veth-clearnet", other, kNew), Verdict::kDrop) << other;
    EXPECT_EQ(verdict(other, "veth-clearnet", kEstablished), Verdict::kDrop) << other;
    EXPECT_EQ(verdict(other, "eth0", kNew), Verdict::kDrop) << other;
    EXPECT_EQ(verdict("eth0", other, kEstablished), Verdict::kDrop) << other;
  }
}

// ---- The files ----

TEST(Profile, GivesNoWarning) {
  for (const Profile& builtin : profiles()) {
    const auto loaded = load(builtin.name, usual_machine());
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(render(loaded->remarks), "");
    EXPECT_EQ(loaded->policy.name, builtin.name);
    EXPECT_EQ(loaded->policy.source, builtin.file);
  }
}

TEST(Profile, ComesWithTheDefaultFirst) {
  ASSERT_EQ(profiles().size(), 3U);
  EXPECT_EQ(profiles()[0].name, "tails");
  EXPECT_EQ(find_profile("tails-i2p"), &profiles()[1]);
  EXPECT_EQ(find_profile("tails.toml"), nullptr);
}

TEST(Profile, AsksTheHostForWhatTheFilterNeeds) {
  for (const Profile& builtin : profiles()) {
    const Host host = profile(builtin.name).host;
    EXPECT_EQ(host.resolver, kLoopbackV4);
    EXPECT_EQ(host.clearnet_resolver_file, "/etc/resolv-over-clearnet.conf");
    EXPECT_EQ(host.sysctl, (std::map<std::string, int64_t>{{"net.ipv4.icmp_ratemask", 6160},
                                                           {"net.ipv4.tcp_mtu_probing", 1},
                                                           {"net.ipv6.conf.all.disable_ipv6", 1},
                                                           {"net.ipv6.conf.default.disable_ipv6", 1},
                                                           {"net.ipv6.conf.lo.disable_ipv6", 0},
                                                           {"net.netfilter.nf_conntrack_helper", 0}}));
  }
}

}  // namespace
}  // namespace tails::testing
