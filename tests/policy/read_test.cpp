// What a policy file becomes: values, users, conditions, origins, drop-ins.
#include "policy/read.h"

#include <gtest/gtest.h>

#include "policy/decide.h"
#include "policy/report.h"
#include "tests/policy/reading.h"

namespace tails::testing {
namespace {

using namespace policy;

/// The policy of a file without errors.
Policy policy_of(const Reading& reading) {
  EXPECT_TRUE(reading.policy) << render(reading.diagnostics);
  return reading.policy.value_or(Policy{});
}

constexpr std::string_view kWhole = R"(schema = 1
name = "whole"
[users]
amnesia = 1001
optional = ["ghost"]
[tor]
user = "debian-tor"
out = ["tcp", "udp/53"]
lan = false
lan_dns = true
trans_port = 9040
dns_port = 5353
redirect_dns = true
automap = "127.192.0.0/10"
[live]
user = "amnesia"
[[direct]]
user = "clearnet"
out = ["tcp"]
[[direct]]
user = "i2psvc"
out = ["udp/1-2"]
lan = false
when = { path = "/no/such" }
[lan]
networks = ["10.0.0.0/8"]
closed = ["udp/137-138"]
[[service]]
name = "Tor SOCKS"
at = "127.0.0.1"
ports = ["tcp/9050"]
from = ["31000-31002", "tcp/32000"]
allow = ["root", "ghost"]
deny = ["amnesia"]
[[service]]
name = "Six"
at = "::1"
ports = ["tcp"]
allow = ["root"]
when = { path = "/usr/share/i2p" }
[[namespace]]
name = "tbb"
host = "10.200.1.1/30"
services = ["tcp/9050"]
internet = true
[states]
related_icmp_on_loopback = false
[blocked]
log = "nflog:5"
prefix = "No: "
answer = "drop"
log_limit = "20/second burst 100"
[host]
resolver = "127.0.0.1"
clearnet_resolver_file = "/etc/resolv-over-clearnet.conf"
sysctl = { "net.ipv4.tcp_mtu_probing" = 1, "net.ipv4.icmp_ratemask" = 6160 }
[wire]
pass = ["arp", "dhcp"]
)";

TEST(Read, GivesTorItsValues) {
  const Policy policy = policy_of(read_text(kWhole));
  ASSERT_TRUE(policy.tor);
  EXPECT_EQ(policy.tor->user, (User{"debian-tor", Uid{107}}));
  EXPECT_EQ(policy.tor->out, (std::vector<PortGrant>{{protocol::kTcp, {}}, {protocol::kUdp, PortRange::one(53)}}));
  EXPECT_FALSE(policy.tor->lan);
  EXPECT_TRUE(policy.tor->lan_dns);
  EXPECT_EQ(policy.tor->trans_port, Port{9040});
  EXPECT_EQ(policy.tor->dns_port, Port{5353});
  EXPECT_TRUE(policy.tor->redirect_dns);
  EXPECT_EQ(policy.tor->automap, Prefix::parse("127.192.0.0/10"));
  EXPECT_EQ(policy.tor->origin, (Origin{"policy.toml", 6, "[tor]"}));
  EXPECT_EQ(policy.tor->automap_origin, (Origin{"policy.toml", 14, "[tor] automap"}));
  EXPECT_EQ(policy.tor->redirect_dns_origin, (Origin{"policy.toml", 13, "[tor] redirect_dns"}));
}

TEST(Read, GivesEntriesTheirValues) {
  const Policy policy = policy_of(read_text(kWhole));
  ASSERT_EQ(policy.direct.size(), 2U);
  EXPECT_TRUE(policy.direct[0].lan && policy.direct[0].is_active);
  EXPECT_FALSE(policy.direct[0].lan_dns);
  EXPECT_FALSE(policy.direct[1].lan || policy.direct[1].is_active);
  EXPECT_EQ(policy.direct[1].origin, (Origin{"policy.toml", 20, "direct \"i2psvc\""}));
  EXPECT_EQ(policy.lan.networks, std::vector{*Prefix::parse("10.0.0.0/8")});
  EXPECT_EQ(policy.lan.closed, (std::vector<PortGrant>{{protocol::kUdp, {137, 138}}}));
  EXPECT_EQ(policy.lan.closed_origin, (Origin{"policy.toml", 27, "[lan] closed"}));

  ASSERT_EQ(policy.services.size(), 2U);
  const Service& socks = policy.services[0];
  EXPECT_EQ(socks.name, "Tor SOCKS");
  EXPECT_EQ(socks.at, kLoopbackV4);
  EXPECT_EQ(socks.from, (std::vector<PortRange>{{31000, 31002}, {32000, 32000}}));
  EXPECT_EQ(socks.allow, (std::vector<User>{{"root", Uid{0}}}));
  EXPECT_EQ(socks.deny, (std::vector<User>{{"amnesia", Uid{1001}}}));
  EXPECT_EQ(socks.origin, (Origin{"policy.toml", 28, "service \"Tor SOCKS\""}));
  EXPECT_EQ(policy.services[1].at, kLoopbackV6);
  EXPECT_TRUE(policy.services[1].is_active);
}

TEST(Read, GivesANamespaceItsGuestAndItsInterface) {
  const Policy policy = policy_of(read_text(kWhole));
  ASSERT_EQ(policy.namespaces.size(), 1U);
  const Namespace& tbb = policy.namespaces[0];
  EXPECT_EQ(tbb.host, IpAddress::v4(10, 200, 1, 1));
  EXPECT_EQ(tbb.guest, IpAddress::v4(10, 200, 1, 2));
  EXPECT_EQ(tbb.network, Prefix::parse("10.200.1.0/30"));
  EXPECT_EQ(tbb.interface.view(), "veth-tbb");
  EXPECT_TRUE(tbb.internet);
}

TEST(Read, GivesSettingsTheirValues) {
  const Policy policy = policy_of(read_text(kWhole));
  EXPECT_EQ(policy.name, "whole");
  EXPECT_EQ(policy.source, "policy.toml");
  EXPECT_FALSE(policy.related_icmp_on_loopback);
  EXPECT_EQ(policy.blocked.log, Blocked::LogTo::kNflog);
  EXPECT_EQ(policy.blocked.nflog_group, 5);
  EXPECT_EQ(policy.blocked.prefix, "No: ");
  EXPECT_EQ(policy.blocked.answer, Blocked::Answer::kDrop);
  EXPECT_EQ(policy.blocked.log_limit, (ruleset::LimitMatch{500, 100}));
  EXPECT_EQ(policy.host.resolver, kLoopbackV4);
  EXPECT_EQ(policy.host.clearnet_resolver_file, "/etc/resolv-over-clearnet.conf");
  EXPECT_EQ(policy.host.sysctl,
            (std::map<std::string, int64_t>{{"net.ipv4.tcp_mtu_probing", 1}, {"net.ipv4.icmp_ratemask", 6160}}));
  EXPECT_TRUE(policy.wire.pass_arp && policy.wire.pass_dhcp);
}

TEST(Read, BlocksEverythingWhereNothingIsSaid) {
  const Policy policy = policy_of(read_text("schema = 1\n"));
  EXPECT_EQ(policy.name, "policy");
  EXPECT_FALSE(policy.tor || policy.live);
  EXPECT_TRUE(policy.related_icmp_on_loopback);
  EXPECT_EQ(policy.blocked.log, Blocked::LogTo::kKernel);
  EXPECT_EQ(policy.blocked.prefix, "Dropped outbound packet: ");
  EXPECT_EQ(policy.blocked.answer, Blocked::Answer::kReject);
  Packet packet;
  packet.source = packet.destination = IpAddress::v4(192, 0, 2, 1);
  packet.tcp_flags = tcp_flag::kSyn;
  packet.out = *InterfaceName::make("eth0");
  packet.uid = Uid{0};
  EXPECT_EQ(decide(policy, packet).verdict, Verdict::kReject);
}

TEST(Read, TakesTheUserMapOverThePinAndThePinOverTheSystem) {
  const auto live = [](std::string_view users, const UserMap& map) {
    const std::string text = "schema = 1\n" + std::string(users) + "[live]\nuser = \"amnesia\"\n";
    return policy_of(read_text(text, usual_machine(), map)).live->uid.value;
  };
  EXPECT_EQ(live("", {}), 1000U);
  EXPECT_EQ(live("[users]\namnesia = 1001\n", {}), 1001U);
  EXPECT_EQ(live("[users]\namnesia = 1001\n", {{"amnesia", Uid{1002}}}), 1002U);
}

TEST(Read, LeavesOutAnAbsentOptionalUserWithOneNotice) {
  const Reading reading = read_text(R"(schema = 1
[users]
optional = ["ghost"]
[[service]]
name = "A"
at = "127.0.0.1"
ports = ["tcp/1"]
allow = ["ghost"]
[[direct]]
user = "ghost"
out = ["tcp"]
)");
  EXPECT_TRUE(policy_of(reading).services[0].allow.empty());
  EXPECT_TRUE(reading.policy->direct.empty());
  EXPECT_EQ(render(reading.diagnostics),
            "policy.toml:8:11: notice: user \"ghost\" is not known on this system; its entries are left out");
}

TEST(Read, CannotDoWithoutAnOptionalTorUser) {
  const Reading reading = read_text("schema = 1\n[users]\noptional = [\"ghost\"]\n[tor]\nuser = \"ghost\"\nout = []\n");
  EXPECT_EQ(render(reading.diagnostics),
            "policy.toml:5:9: user \"ghost\" is not known on this system\n"
            "    5 | user = \"ghost\"\n"
            "      |        ^~~~~~~ To name an account that appears later, pin its number under [users].");
}

TEST(Read, SaysThatTheUserDatabaseDoesNotAnswer) {
  FixedEnvironment machine = usual_machine();
  machine.user_error = Error{ErrorKind::kRefused, "cannot look up user \"amnesia\": no", "Pin its number.", 5};
  const Reading reading = read_text("schema = 1\n[live]\nuser = \"amnesia\"\n", machine);
  EXPECT_EQ(render(reading.diagnostics),
            "policy.toml:3:9: cannot look up user \"amnesia\": no\n"
            "    3 | user = \"amnesia\"\n"
            "      |        ^~~~~~~~~ Pin its number.");
}

TEST(Read, SaysThatTheNetworksOfTheMachineAreUnknown) {
  FixedEnvironment machine = usual_machine();
  machine.networks_error = Error{ErrorKind::kRefused, "cannot list the networks of this machine: no", "", 5};
  const std::string_view text = "schema = 1\n[[namespace]]\nname = \"a\"\nhost = \"10.0.0.1/30\"\n";
  EXPECT_EQ(render(read_text(text, machine).diagnostics),
            "policy.toml:4:9: cannot list the networks of this machine: no\n"
            "    4 | host = \"10.0.0.1/30\"\n"
            "      |        ^~~~~~~~~~~~~");
}

TEST(Read, LetsANamespaceBeUpAlready) {
  FixedEnvironment machine = usual_machine();
  machine.interface_networks = {{*InterfaceName::make("veth-a"), *Prefix::parse("10.0.0.0/30")},
                                {kLoopbackInterface, kLoopbackNetV4}};
  EXPECT_TRUE(read_text("schema = 1\n[[namespace]]\nname = \"a\"\nhost = \"10.0.0.1/30\"\n", machine).policy);
}

TEST(Read, StopsAtAnUnknownSchema) {
  EXPECT_EQ(render(read_text("schema = 2\ncolour = 1\n").diagnostics),
            "policy.toml:1:10: schema 2 is not known\n"
            "    1 | schema = 2\n"
            "      |          ^ This version reads schema 1.");
}

TEST(Read, MissesTheSchema) {
  EXPECT_EQ(render(read_text("").diagnostics),
            "policy.toml: the file does not say its schema\n  Write schema = 1 above the first table.");
}

TEST(Read, ShowsTheExampleOfTheStyleGuideToTheLetter) {
  const Reading reading = read_text(
      "schema = 1\n\n\n\n\n\n\n\n\n[[service]]\nname = \"A\"\nat = \"127.0.0.1\"\nports = [\"tcp/1\"]\nallow = "
      "[\"amnesai\"]\n");
  EXPECT_EQ(
      render(reading.diagnostics),
      "policy.toml:14:11: user \"amnesai\" is not known on this system\n"
      "   14 | allow = [\"amnesai\"]\n"
      "      |          ^~~~~~~~~ did you mean \"amnesia\"? To name an account that appears later, pin its number "
      "under [users].");
}

TEST(Read, CountsCharactersAndNotBytes) {
  EXPECT_EQ(render(read_text("schema = 1\nusers = { 'ö' = 'ü' }\n").diagnostics),
            "policy.toml:2:18: expected an integer, found a string\n"
            "    2 | users = { 'ö' = 'ü' }\n"
            "      |                 ^~~");
}

TEST(Read, RefusesCharactersOutsideOfStringsThatAreNotAscii) {
  EXPECT_EQ(render(read_text("schema = 1\n# ä\nname = 'ä' ä\n").diagnostics),
            "policy.toml:3:12: this character needs quotes around it\n"
            "    3 | name = 'ä' ä\n"
            "      |            ^ Outside of strings and comments TOML is ASCII.");
  for (const char* text : {"ä", "a = ä", "a = 1 ä", "[ä]", R"(a = """\ä""")", "a = \"\"\"\\ \n ä\"\"\"",
                           R"(a = """b""""" ä)", "a = '''b''''' ä", R"(a = "\"" ä)", "a = \"b\nä"}) {
    EXPECT_FALSE(read_text(text).policy);
  }
  for (const char* text : {"\xEF\xBB\xBFschema = 1", "schema = 1\nname = \"\"\"\nä \\\n b\"\"\"", "schema = 1 # ä",
                           "schema = 1\nname = '''ä''ä'''", "schema = 1\nname = \"\\\\ä\""}) {
    EXPECT_TRUE(read_text(text).policy) << text;
  }
}

// A value of over 64 bytes is looked at together with what follows, quotes or not, and
// is_non_ascii_horizontal_whitespace of toml++ 3.3 has no defined answer for U+00A1 to U+0499 (libFuzzer).
TEST(Read, RefusesANumberThatIsTooLongBeforeAStringThatIsNotAscii) {
  const std::string digits(70, '3');
  for (const char* rest : {"[\"ä\"]", "'ä'", "[\"\u0424\"]"}) {
    EXPECT_FALSE(read_text("schema = 1\nfrom = " + digits + rest + "\n").policy) << rest;
  }
}

// Each part is a table in a table, and toml++ takes them down one call within another.
TEST(Read, SurvivesAKeyOfAMillionParts) {
  std::string text = "schema = 1\na";
  for (int i = 0; i < 1'000'000; ++i) text += ".a";
  EXPECT_FALSE(read_text(text + " = 1\n").policy);
  EXPECT_FALSE(read_text("schema = 1\n[" + text.substr(11) + "]\n").policy);
}

TEST(Read, SurvivesAMillionBrackets) {
  EXPECT_FALSE(read_text("schema = 1\na = " + std::string(1'000'000, '[')).policy);
  std::string tables = "schema = 1\na = ";
  for (int i = 0; i < 250'000; ++i) tables += "{a=";
  EXPECT_FALSE(read_text(tables).policy);
}

TEST(Read, ShowsPartOfAVeryLongLine) {
  const Reading reading =
      read_text("schema = 1\nname = \"" + std::string(5000, 'x') + "\"; # " + std::string(500, 'y'));
  const std::string text = render(reading.diagnostics);
  EXPECT_LT(text.size(), 700U);
  EXPECT_TRUE(text.starts_with("policy.toml:2:5010: ")) << text;
}

TEST(Read, SaysAHundredThingsAtMost) {
  std::string text = "schema = 1\n";
  for (int i = 0; i < 1000; ++i) text += "k" + std::to_string(i) + " = 1\n";
  const Reading reading = read_text(text);
  EXPECT_FALSE(reading.policy);
  ASSERT_EQ(reading.diagnostics.size(), Report::kMost + 1);
  EXPECT_EQ(render(reading.diagnostics.back()), "policy.toml: notice: there is more; the rest is not shown");
}

// ---- Drop-ins ----

constexpr std::string_view kMain = "schema = 1\n[tor]\nuser = \"debian-tor\"\nout = [\"tcp\"]\n";

TEST(DropIn, AddsUsersServicesAndNamespaces) {
  const Reading reading = read_with_drop_ins(kMain, {{"policy.d/10-a.toml", R"(schema = 1
[users]
extra = 2000
[[service]]
name = "Extra"
at = "127.0.0.1"
ports = ["tcp/1"]
allow = ["extra"]
)"},
                                                     {"policy.d/20-b.toml", R"(schema = 1
[[namespace]]
name = "extra"
host = "10.0.0.1/30"
)"}});
  const Policy policy = policy_of(reading);
  ASSERT_EQ(policy.services.size(), 1U);
  EXPECT_EQ(policy.services[0].allow, (std::vector<User>{{"extra", Uid{2000}}}));
  EXPECT_EQ(policy.services[0].origin, (Origin{"policy.d/10-a.toml", 4, "service \"Extra\""}));
  EXPECT_EQ(policy.namespaces.size(), 1U);
}

TEST(DropIn, MayNotChangeWhatIsNotItsBusiness) {
  const Reading reading = read_with_drop_ins(kMain, {{"policy.d/a.toml", R"(schema = 1
name = "b"
[tor]
user = "root"
[lan]
networks = ["10.0.0.0/8"]
[blocked]
log = "none"
[[direct]]
user = "root"
)"}});
  EXPECT_FALSE(reading.policy);
  EXPECT_EQ(render(reading.diagnostics),
            R"(policy.d/a.toml:2:9: a drop-in may not rename the policy
    2 | name = "b"
      |        ^~~
policy.d/a.toml:3:2: a drop-in may not change [tor]
    3 | [tor]
      |  ^~~ A drop-in adds [users], [[service]] and [[namespace]]; change the policy file instead.
policy.d/a.toml:5:2: a drop-in may not change [lan]
    5 | [lan]
      |  ^~~ A drop-in adds [users], [[service]] and [[namespace]]; change the policy file instead.
policy.d/a.toml:7:2: a drop-in may not change [blocked]
    7 | [blocked]
      |  ^~~~~~~ A drop-in adds [users], [[service]] and [[namespace]]; change the policy file instead.
policy.d/a.toml:9:3: a drop-in may not change [[direct]]
    9 | [[direct]]
      |   ^~~~~~ A drop-in adds [users], [[service]] and [[namespace]]; change the policy file instead.)");
}

// Else a drop-in could make "debian-tor" the live user's number, and so change [tor].
TEST(DropIn, MayNotPinAUserOfThePolicy) {
  const Reading reading = read_with_drop_ins(kMain, {{"policy.d/a.toml", "schema = 1\n[users]\ndebian-tor = 1000\n"}});
  EXPECT_FALSE(reading.policy);
  EXPECT_EQ(render(reading.diagnostics),
            "policy.d/a.toml:3:1: a drop-in may not pin user \"debian-tor\", of which the policy already speaks\n"
            "    3 | debian-tor = 1000\n"
            "      | ^~~~~~~~~~ Pin it in the policy file.");
}

TEST(DropIn, MayNotPinWhatIsPinned) {
  const Reading reading =
      read_with_drop_ins("schema = 1\n[users]\nextra = 1\n", {{"policy.d/a.toml", "schema = 1\n[users]\nextra = 2\n"}});
  EXPECT_EQ(render(reading.diagnostics),
            "policy.d/a.toml:3:1: user \"extra\" is pinned twice\n"
            "    3 | extra = 2\n"
            "      | ^~~~~ The first is policy.toml:3.");
}

TEST(DropIn, MayNotRepeatANameOfThePolicy) {
  const std::string service =
      "schema = 1\n[[service]]\nname = \"A\"\nat = \"127.0.0.1\"\nports = [\"tcp/1\"]\nallow = [\"root\"]\n";
  const Reading reading = read_with_drop_ins(service, {{"policy.d/a.toml", service}});
  EXPECT_EQ(render(reading.diagnostics),
            "policy.d/a.toml:3:9: two services are named \"A\"\n"
            "    3 | name = \"A\"\n"
            "      |        ^~~ The first is policy.toml:2.");
}

TEST(DropIn, IsNotReadWhereThePolicyFileIsBroken) {
  const Reading reading = read_with_drop_ins("schema =", {{"policy.d/a.toml", "schema = 1\ncolour = 1\n"}});
  EXPECT_EQ(render(reading.diagnostics),
            "policy.toml:1:9: cannot read key-value pair: encountered end-of-file\n"
            "    1 | schema =\n"
            "      |         ^");
}

// ---- --user-map ----

TEST(UserMap, ReadsPairs) {
  EXPECT_EQ(*parse_user_map("amnesia=1000,clearnet=1001"), (UserMap{{"amnesia", Uid{1000}}, {"clearnet", Uid{1001}}}));
  EXPECT_EQ(*parse_user_map(""), UserMap{});
}

TEST(UserMap, SaysWhatIsWrong) {
  const auto said = [](std::string_view text) {
    const auto map = parse_user_map(text);
    EXPECT_FALSE(map);
    EXPECT_EQ(map.error().kind, ErrorKind::kUsage);
    return map.error().message + "\n" + map.error().remedy;
  };
  const std::string form = "\nWrite --user-map amnesia=1000,clearnet=1001.";
  EXPECT_EQ(said("amnesia"), "--user-map: \"amnesia\" is not NAME=UID" + form);
  EXPECT_EQ(said("=5"), "--user-map: \"=5\" is not NAME=UID" + form);
  EXPECT_EQ(said("a=5,,b=6"), "--user-map: \"\" is not NAME=UID" + form);
  EXPECT_EQ(said("a=-1"), "--user-map: \"a=-1\" is not NAME=UID" + form);
  EXPECT_EQ(said("a=4294967296"), "--user-map: \"a=4294967296\" is not NAME=UID" + form);
  EXPECT_EQ(said("a=4294967295"),
            "--user-map: UID 4294967295 of \"a\" means \"no user\" to the kernel\nGive the account's own number.");
  EXPECT_EQ(said("a=1,a=2"), "--user-map: \"a\" is named twice\nGive each account once.");
}

}  // namespace
}  // namespace tails::testing
