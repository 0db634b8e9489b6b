#include <gtest/gtest.h>

#include "cli/packet_words.h"
#include "cli/rule_counts.h"
#include "cli/rule_words.h"
#include "ruleset/text_reader.h"

namespace tails::cli {
namespace {

/// A rule in iptables-save form, in words.
std::string words(const std::string& rule, Family family = Family::kIpv4) {
  const auto rules = ruleset::read_save("*filter\n:c - [0:0]\n-A c " + rule + "\nCOMMIT\n", family, "test");
  if (!rules) return rules.error().message;
  const ruleset::Rule& read = rules->tables.front().find("c")->rules.front();
  const UserNames names = [](Uid uid) {
    return uid == Uid{1000} ? std::optional<std::string>("amnesia") : std::nullopt;
  };
  return tests_in_words(read, names) + " -> " + target_in_words(read.target);
}

TEST(RuleWords, SayWhatARuleTestsAndDoes) {
  EXPECT_EQ(words("-j ACCEPT"), "everything -> ACCEPT");
  EXPECT_EQ(words("-s 192.0.2.0/24 ! -d 198.51.100.7/32 -i eth+ ! -o lo -p udp -j DROP"),
            "in eth+, not out lo, udp, from 192.0.2.0/24, not to 198.51.100.7 -> DROP");
  EXPECT_EQ(
      words("-p tcp -m tcp --dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 1000 -m state --state "
            "NEW -j ACCEPT"),
      "tcp, port 9050, SYN, user amnesia, NEW -> ACCEPT");
  EXPECT_EQ(words("-p tcp -m tcp --sport 31000:31002 ! --dport 80 -m owner ! --uid-owner 5-7 -j RETURN"),
            "tcp, from port 31000-31002, not port 80, not users 5-7 -> RETURN");
  EXPECT_EQ(words("-p udp -m multiport --dports 53,137:138 -m conntrack --ctstate NEW,ESTABLISHED --ctdir REPLY -j c"),
            "udp, ports 53,137-138, NEW or ESTABLISHED, reply direction -> to c");
  EXPECT_EQ(words("-p icmp -m icmp --icmp-type 3/4 -j REJECT"), "icmp, type 3/4 -> REJECT");
  EXPECT_EQ(words("-m limit --limit 20/sec --limit-burst 100 -j LOG"), "at most 20/s, burst 100 -> LOG");
  EXPECT_EQ(words("-m mark --mark 0x1/0xff -m owner --gid-owner 4 -g c"), "mark 0x1/0xff, group 4 -> goto c");
  EXPECT_EQ(words("-m comment --comment \"why not\""), "\"why not\" -> count");
  EXPECT_EQ(words("-m quota --quota 5 -j ACCEPT"), "something unknown (match \"quota\") -> ACCEPT");
}

TEST(RuleWords, SayWhatTargetsOfOtherTablesDo) {
  EXPECT_EQ(words("-p tcp -j REDIRECT --to-ports 9040"), "tcp -> REDIRECT to port 9040");
  EXPECT_EQ(words("-p tcp -j DNAT --to-destination 10.200.1.1:9050"), "tcp -> DNAT to 10.200.1.1 port 9050");
  EXPECT_EQ(words("-j MASQUERADE"), "everything -> MASQUERADE");
  EXPECT_EQ(words("-j TPROXY --on-port 5"), "everything -> TPROXY (unknown)");
}

TEST(PacketWords, DescribeAPacket) {
  Packet packet;
  packet.source = IpAddress::v4(192, 0, 2, 1);
  packet.source_port = 40000;
  packet.destination = IpAddress::v4(198, 51, 100, 7);
  packet.destination_port = 443;
  packet.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck;
  packet.state = ConnState::kEstablished;
  packet.direction = Direction::kReply;
  packet.out = *InterfaceName::make("eth0");
  EXPECT_EQ(packet_text(packet), "tcp SYN,ACK, ESTABLISHED (reply), 192.0.2.1:40000 to 198.51.100.7:443 by eth0");
  packet.protocol = protocol::kIcmp;
  packet.icmp_type = 3;
  packet.icmp_code = 4;
  EXPECT_EQ(packet_text(packet), "icmp 3/4, ESTABLISHED (reply), 192.0.2.1 to 198.51.100.7 by eth0");
}

TEST(PacketWords, ReadWhatTheyWrite) {
  for (const ConnState state :
       {ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid, ConnState::kUntracked}) {
    EXPECT_EQ(parse_state(state_text(state)), state);
  }
  EXPECT_EQ(parse_state("related"), ConnState::kRelated);
  EXPECT_EQ(parse_state("RELATE"), std::nullopt);
  EXPECT_EQ(parse_protocol("ICMP", Family::kIpv6), protocol::kIcmpv6);
  EXPECT_EQ(parse_protocol("47", Family::kIpv4), 47);
  EXPECT_EQ(parse_protocol("256", Family::kIpv4), std::nullopt);
  EXPECT_EQ(endpoint_text({kLoopbackV6, 4101}), "[::1]:4101");
}

TEST(RuleCounts, AreOneSentence) {
  using ruleset::TableName;
  EXPECT_EQ(counts_in_words(std::vector{RuleCount{Family::kIpv6, TableName::kFilter, 14},
                                        RuleCount{Family::kIpv4, TableName::kFilter, 60},
                                        RuleCount{Family::kIpv4, TableName::kNat, 3}}),
            "63 rules in filter and nat (IPv4), 14 in filter (IPv6)");
  EXPECT_EQ(counts_in_words(std::vector{RuleCount{Family::kIpv4, TableName::kFilter, 1}}), "1 rule in filter (IPv4)");
  EXPECT_EQ(counts_in_words({}), "no tables");
}

}  // namespace
}  // namespace tails::cli
