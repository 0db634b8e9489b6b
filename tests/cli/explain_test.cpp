#include <gtest/gtest.h>

#include <random>

#include "cli/accounts.h"
#include "cli/decision.h"
#include "cli/packet_arguments.h"
#include "cli/packet_words.h"
#include "policy/decide.h"
#include "policy/lower.h"
#include "policy/read.h"

namespace tails::cli {
namespace {

/// Three accounts, one path, no networks.
class SmallMachine final : public policy::Environment {
 public:
  [[nodiscard]] Result<std::optional<Uid>> user(std::string_view name) const override {
    for (size_t i = 0; i < kNames.size(); ++i) {
      if (kNames[i] == name) return Uid{static_cast<uint32_t>(100 + i)};
    }
    return std::optional<Uid>{};
  }
  [[nodiscard]] std::vector<std::string> user_names() const override { return {kNames.begin(), kNames.end()}; }
  [[nodiscard]] bool path_exists(const std::string&) const override { return true; }
  [[nodiscard]] Result<std::vector<InterfaceNetwork>> networks() const override {
    return std::vector<InterfaceNetwork>{};
  }

 private:
  static constexpr std::array<std::string_view, 13> kNames{"_apt",
                                                           "proxy",
                                                           "nobody",
                                                           "debian-tor",
                                                           "clearnet",
                                                           "htp",
                                                           "tails-iuk-get-target-file",
                                                           "Debian-gdm",
                                                           "i2psvc",
                                                           "i2pbrowser",
                                                           "tor-launcher",
                                                           "root",
                                                           "tails-upgrade-frontend"};
};

policy::Policy profile(std::string_view name) {
  const SmallMachine machine;
  auto loaded = policy::load(name, machine);
  EXPECT_TRUE(loaded) << loaded.error().message;
  return loaded->policy;
}

/// The packet that options make, in words; or the refusal.
std::string packet(const std::vector<std::pair<std::string, std::string>>& options, bool with_policy = true) {
  Arguments arguments;
  arguments.set("--user", "none");
  arguments.set("--to", "198.51.100.7");
  arguments.set("--sport", "40000");
  arguments.set("--state", "NEW");
  for (const auto& [name, value] : options) arguments.set(name, value);
  const SmallMachine machine;
  const policy::Policy tails = profile("tails");
  GlobalOptions global;
  global.user_map.emplace("pinned", Uid{7});
  const std::vector<IpAddress> own{IpAddress::v4(192, 168, 1, 5)};
  const auto made = packet_of(arguments, {global, accounts_of(tails), with_policy ? &tails : nullptr, machine, own});
  if (!made) {
    EXPECT_EQ(made.error().kind, ErrorKind::kUsage);
    return made.error().message + (made.error().remedy.empty() ? "" : " | " + made.error().remedy);
  }
  return (made->uid ? std::to_string(made->uid->value) + ": " : "") + packet_text(*made);
}

TEST(PacketOfOptions, HasSensibleDefaults) {
  EXPECT_EQ(packet({}), "tcp SYN, NEW, 192.0.2.1:40000 to 198.51.100.7:443 by eth0");
  EXPECT_EQ(packet({{"--proto", "udp"}}), "udp, NEW, 192.0.2.1:40000 to 198.51.100.7:53 by eth0");
  EXPECT_EQ(packet({{"--proto", "icmp"}}), "icmp 8/0, NEW, 192.0.2.1 to 198.51.100.7 by eth0");
  EXPECT_EQ(packet({{"--to", "2001:db8::7"}, {"--type", "1/4"}}),
            "icmpv6 1/4, NEW, 2001:db8::1 to 2001:db8::7 by eth0");
  EXPECT_EQ(packet({{"--proto", "47"}}), "47, NEW, 192.0.2.1 to 198.51.100.7 by eth0");
}

TEST(PacketOfOptions, GoesByLoopbackToThisMachinesOwnAddresses) {
  EXPECT_EQ(packet({{"--to", "127.192.0.5"}}), "tcp SYN, NEW, 127.0.0.1:40000 to 127.192.0.5:443 by lo");
  EXPECT_EQ(packet({{"--to", "::1"}}), "tcp SYN, NEW, [::1]:40000 to [::1]:443 by lo");
  EXPECT_EQ(packet({{"--to", "192.168.1.5"}}), "tcp SYN, NEW, 192.168.1.5:40000 to 192.168.1.5:443 by lo");
}

TEST(PacketOfOptions, GoesToAGuestByItsCable) {
  EXPECT_EQ(packet({{"--to", "10.200.1.2"}}), "tcp SYN, NEW, 10.200.1.1:40000 to 10.200.1.2:443 by veth-tbb");
  EXPECT_EQ(packet({{"--to", "10.200.1.1"}}), "tcp SYN, NEW, 10.200.1.1:40000 to 10.200.1.1:443 by lo");
  EXPECT_EQ(packet({{"--to", "10.200.1.2"}}, false), "tcp SYN, NEW, 192.0.2.1:40000 to 10.200.1.2:443 by eth0");
}

TEST(PacketOfOptions, TakesWhatIsGiven) {
  EXPECT_EQ(packet({{"--port", "80"},
                    {"--sport", "1"},
                    {"--from", "203.0.113.9"},
                    {"--via", "wlan0"},
                    {"--state", "established"},
                    {"--reply", ""}}),
            "tcp ACK, ESTABLISHED (reply), 203.0.113.9:1 to 198.51.100.7:80 by wlan0");
  EXPECT_EQ(packet({{"--proto", "132"}, {"--port", "5000"}}), "132, NEW, 192.0.2.1:40000 to 198.51.100.7:5000 by eth0");
}

TEST(PacketOfOptions, KnowsUsersByNumberByPinByPolicyAndBySystem) {
  const std::string rest = ": tcp SYN, NEW, 192.0.2.1:40000 to 198.51.100.7:443 by eth0";
  EXPECT_EQ(packet({{"--user", "33"}}), "33" + rest);
  EXPECT_EQ(packet({{"--user", "pinned"}}), "7" + rest);
  EXPECT_EQ(packet({{"--user", "amnesia"}}), "1000" + rest);
  EXPECT_EQ(packet({{"--user", "proxy"}}), "101" + rest);
}

TEST(PacketOfOptions, AreRefusedInWords) {
  EXPECT_EQ(packet({{"--user", "amnezia"}}),
            "user \"amnezia\" is not known on this system | Did you mean \"amnesia\"? A number will do, or --user-map "
            "amnezia=UID.");
  EXPECT_EQ(packet({{"--user", "4294967295"}}),
            "user \"4294967295\" is not known on this system | A number will do, or --user-map 4294967295=UID.");
  EXPECT_EQ(packet({{"--to", "tor.example"}}), "--to takes an IPv4 or IPv6 address, not \"tor.example\"");
  EXPECT_EQ(packet({{"--from", "::1"}}), "--from and --to are not of one family");
  EXPECT_EQ(packet({{"--port", "0"}}), "--port takes a number from 1 to 65535, not \"0\"");
  EXPECT_EQ(packet({{"--proto", "icmp"}, {"--port", "5"}}), "icmp has no ports | Leave --port out, or name --proto.");
  EXPECT_EQ(packet({{"--proto", "udp"}, {"--type", "8"}}), "udp has no type | Leave --type out, or --proto.");
  EXPECT_EQ(packet({{"--type", "8/256"}}), "--type takes TYPE/CODE, two numbers to 255, not \"8/256\"");
  EXPECT_EQ(packet({{"--proto", "tpc"}}), "--proto takes tcp, udp, icmp or a number to 255, not \"tpc\"");
  EXPECT_EQ(packet({{"--state", "OPEN"}}),
            "--state takes NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED, not \"OPEN\"");
  EXPECT_EQ(packet({{"--reply", ""}}), "an answer is never NEW | Give --state ESTABLISHED or RELATED with --reply.");
  EXPECT_EQ(packet({{"--via", "sixteen-bytes-16"}}),
            "--via takes an interface name of 1 to 15 bytes, not \"sixteen-bytes-16\"");
}

std::string text(const ruleset::Origin& origin) { return to_string(origin) + " " + origin.entry.str(); }

/// What the steps of the rules name as the deciding entry of a refusal is what the policy itself names. (Where two
/// entries grant the same, each may name another one.)
TEST(DecidingOrigin, OfARefusalIsTheEntryThatThePolicyItselfNames) {
  for (const char* name : {"tails", "tails-classic"}) {
    const policy::Policy policy = profile(name);
    const ruleset::RuleSet rules = policy::lower(policy);
    const ruleset::Evaluator evaluator(rules);
    const auto to =
        std::to_array<IpAddress>({IpAddress::v4(198, 51, 100, 7), IpAddress::v4(192, 168, 1, 1), kLoopbackV4,
                                  IpAddress::v4(127, 192, 0, 9), IpAddress::v4(10, 200, 1, 2), kLoopbackV6});
    const auto ports = std::to_array<Port>({53, 80, 137, 443, 951, 4101, 5353, 9040, 9050, 9052, 9062, 9063});
    size_t compared = 0;
    for (const IpAddress& destination : to) {
      for (const Port port : ports) {
        for (const uint8_t protocol : {protocol::kTcp, protocol::kUdp}) {
          for (uint32_t uid = 99; uid < 113; ++uid) {
            Packet packet;
            packet.protocol = protocol;
            packet.destination = destination;
            packet.source = destination.family == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
            packet.source_port = 40000;
            packet.destination_port = port;
            packet.tcp_flags = tcp_flag::kSyn;
            packet.uid = Uid{uid == 99 ? 1000 : uid};
            packet.gid = Gid{uid};
            const bool is_local = kLoopbackNetV4.contains(destination) || destination == kLoopbackV6;
            packet.out = is_local ? kLoopbackInterface : *InterfaceName::make("eth0");
            const ruleset::Evaluation evaluation = evaluator.explain(packet);
            const ruleset::Origin* origin = rules.origin(deciding_origin(evaluation));
            ASSERT_NE(origin, nullptr) << packet_text(packet);
            const policy::Decision decision = policy::decide(policy, packet);
            if (decision.verdict == Verdict::kAccept) continue;
            // What nothing grants is blocked by default; the rules name the entry that says how.
            const bool is_default = decision.origin == policy.origin;
            EXPECT_EQ(text(*origin), text(is_default ? policy.blocked.origin : decision.origin))
                << name << ": " << uid << " " << packet_text(packet);
            ++compared;
          }
        }
      }
    }
    EXPECT_GT(compared, 1000U);
  }
}

}  // namespace
}  // namespace tails::cli
