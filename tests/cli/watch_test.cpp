/// What `watch` shows, without a kernel.

#include <gtest/gtest.h>

#include <algorithm>
#include "cli/blocked_table.h"
#include "host/blocked_packet.h"

#include "net/ids.h"

namespace tails::cli {
namespace {

std::string name_of(const std::optional<Uid>& uid) {
  if (!uid) return "the kernel";
  return uid->value == 1000 ? "amnesia" : "tails-iuk-get-target-file";
}

std::vector<BlockedSummary::Row> rows() {
  const auto key = [](std::optional<Uid> uid, const IpAddress& to, Port port) {
    return BlockedSummary::Key{uid, protocol::kUdp, {to, port}, *InterfaceName::make("eth0")};
  };
  return {{key(Uid{1000}, IpAddress::v4(198, 51, 100, 7), 53), 1234, "firefox-esr", "[blocked]", "/etc/p.toml:126"},
          {key(Uid{111}, IpAddress::v6(0x20010db800000000, 0x12345678), 443), 2, "", "[lan] closed", "/etc/p.toml:33"},
          {key(std::nullopt, IpAddress::v4(224, 0, 0, 251), 5353), 1, "", "default", ""}};
}

TEST(BlockedTable, ShowsAllWhereThereIsRoom) {
  EXPECT_EQ(blocked_table(rows(), name_of, Screen()),
            "times  user                       program      to                             by    policy entry\n"
            " 1234  amnesia                    firefox-esr  udp 198.51.100.7:53            eth0  [blocked] "
            "(/etc/p.toml:126)\n"
            "    2  tails-iuk-get-target-file               udp [2001:db8::1234:5678]:443  eth0  [lan] closed "
            "(/etc/p.toml:33)\n"
            "    1  the kernel                              udp 224.0.0.251:5353           eth0  default\n");
}

TEST(BlockedTable, LeavesOutTheInterfaceFirstAndThePlaceOfTheEntry) {
  EXPECT_EQ(blocked_table(rows(), name_of, Screen(false, 80)),
            "times  user             program      to                             policy entry\n"
            " 1234  amnesia          firefox-esr  udp 198.51.100.7:53            [blocked]\n"
            "    2  tails-iuk-get-…               udp [2001:db8::1234:5678]:443  [lan] closed\n"
            "    1  the kernel                    udp 224.0.0.251:5353           default\n");
}

// A line that the terminal breaks would make the screen scroll instead of being drawn over.
TEST(BlockedTable, NoLineIsWiderThanTheScreen) {
  for (const unsigned width : {30U, 44U, 60U, 80U, 100U, 140U}) {
    const std::string table = blocked_table(rows(), name_of, Screen(true, width));
    EXPECT_EQ(std::ranges::count(table, '\n'), 4);
    for (size_t start = 0; start < table.size();) {
      const size_t end = table.find('\n', start);
      EXPECT_LE(columns(table.substr(start, end - start)), width) << table;
      start = end + 1;
    }
    EXPECT_NE(table.find("1234"), std::string::npos);
    EXPECT_NE(table.find("amnesia"), std::string::npos);
  }
}

TEST(BlockedTable, NobodyMeansNoTable) { EXPECT_EQ(blocked_table({}, name_of, Screen(false, 80)), ""); }

// An MLD report stands behind a hop-by-hop header: it was shown as protocol 0.
TEST(BlockedPacket, ReadsWhatStandsBehindIpv6ExtensionHeaders) {
  std::vector<std::byte> packet(40 + 8 + 8);
  const auto put = [&](size_t at, unsigned value) { packet[at] = static_cast<std::byte>(value); };
  put(0, 0x60);
  put(6, 0);     // hop by hop, and behind it
  put(40, 58);   // ICMPv6
  put(48, 143);  // MLDv2 report
  auto read = host::read_blocked_packet(packet);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->protocol, protocol::kIcmpv6);
  EXPECT_EQ(read->icmp_type, 143);

  put(6, 44);  // a fragment
  put(40, 17);
  put(48 + 3, 53);
  read = host::read_blocked_packet(packet);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->protocol, protocol::kUdp);
  EXPECT_EQ(read->destination.port, 53);
  put(43, 8);  // a later one: there are no ports in it
  read = host::read_blocked_packet(packet);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->destination.port, 0);
}

}  // namespace
}  // namespace tails::cli
