#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "net/address.h"

namespace tails {
namespace {

IpAddress address(const std::string& text) { return IpAddress::parse(text).value(); }
Prefix prefix(const std::string& text) { return Prefix::parse(text).value(); }

TEST(Prefix, ReadsAndWritesNetworks) {
  struct Row {
    std::string text;
    std::string first;
    unsigned length;
    std::string written;
  };
  const std::vector<Row> rows = {
      {"0.0.0.0/0", "0.0.0.0", 0, "0.0.0.0/0"},
      {"10.0.0.0/8", "10.0.0.0", 8, "10.0.0.0/8"},
      {"128.0.0.0/1", "128.0.0.0", 1, "128.0.0.0/1"},
      {"192.0.2.254/31", "192.0.2.254", 31, "192.0.2.254/31"},
      {"192.0.2.1/32", "192.0.2.1", 32, "192.0.2.1/32"},
      {"192.0.2.1", "192.0.2.1", 32, "192.0.2.1/32"},
      {"::/0", "::", 0, "::/0"},
      {"2001:db8::/32", "2001:db8::", 32, "2001:db8::/32"},
      {"2001:db8::/63", "2001:db8::", 63, "2001:db8::/63"},
      {"2001:db8::/64", "2001:db8::", 64, "2001:db8::/64"},
      {"2001:db8:0:0:8000::/65", "2001:db8:0:0:8000::", 65, "2001:db8:0:0:8000::/65"},
      {"::1", "::1", 128, "::1/128"},
  };
  for (const Row& row : rows) {
    const auto read = Prefix::parse(row.text);
    ASSERT_TRUE(read) << row.text;
    EXPECT_EQ(read->address(), address(row.first)) << row.text;
    EXPECT_EQ(read->length(), row.length) << row.text;
    EXPECT_EQ(to_string(*read), row.written);
  }
}

TEST(Prefix, RefusesHostBitsAndWhatIsNoPrefix) {
  for (const char* const text :
       {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ",
        "10.0.0.0/8/8", "10.0.0.0/255.0.0.0", "10.0.0.0/4294967304", "10.0.0.1/8", "192.0.2.1/31", "0.0.0.1/0", "10/8",
        "2001:db8::1/64", "2001:db8::/129", "::1/0"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(Prefix, MakeClearsTheHostBits) {
  EXPECT_EQ(Prefix::make(address("192.0.2.77"), 24), prefix("192.0.2.0/24"));
  EXPECT_EQ(Prefix::make(address("255.255.255.255"), 0), prefix("0.0.0.0/0"));
  EXPECT_EQ(Prefix::make(address("192.0.2.77"), 33), std::nullopt);
  EXPECT_EQ(Prefix::make(address("2001:db8::ffff"), 112), prefix("2001:db8::/112"));
  EXPECT_EQ(Prefix::make(address("::1"), 129), std::nullopt);
}

TEST(Prefix, ContainsItsFirstAndLastAddressAndNotTheirNeighbours) {
  struct Row {
    std::string network;
    std::string before;
    std::string first;
    std::string last;
    std::string behind;
  };
  const std::vector<Row> rows = {
      {"10.0.0.0/8", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
      {"172.16.0.0/12", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
      {"127.192.0.0/10", "127.191.255.255", "127.192.0.0", "127.255.255.255", "128.0.0.0"},
      {"192.0.2.4/30", "192.0.2.3", "192.0.2.4", "192.0.2.7", "192.0.2.8"},
      {"192.0.2.4/32", "192.0.2.3", "192.0.2.4", "192.0.2.4", "192.0.2.5"},
      {"2001:db8::/64", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff",
       "2001:db8:0:1::"},
      {"::1/128", "::", "::1", "::1", "::2"},
  };
  for (const Row& row : rows) {
    const Prefix network = prefix(row.network);
    EXPECT_FALSE(network.contains(address(row.before))) << row.network;
    EXPECT_TRUE(network.contains(address(row.first))) << row.network;
    EXPECT_TRUE(network.contains(address(row.last))) << row.network;
    EXPECT_FALSE(network.contains(address(row.behind))) << row.network;
  }
}

TEST(Prefix, NeverContainsTheOtherFamily) {
  EXPECT_FALSE(prefix("0.0.0.0/0").contains(address("::")));
  EXPECT_FALSE(prefix("::/0").contains(address("0.0.0.0")));
  EXPECT_FALSE(prefix("::/0").overlaps(prefix("0.0.0.0/0")));
}

TEST(Prefix, OverlapsWhereOneLiesInTheOther) {
  EXPECT_TRUE(prefix("10.0.0.0/8").overlaps(prefix("10.200.1.0/30")));
  EXPECT_TRUE(prefix("10.200.1.0/30").overlaps(prefix("10.0.0.0/8")));
  EXPECT_TRUE(prefix("10.200.1.0/30").overlaps(prefix("10.200.1.0/30")));
  EXPECT_FALSE(prefix("10.200.1.0/30").overlaps(prefix("10.200.1.4/30")));
  EXPECT_TRUE(prefix("0.0.0.0/0").overlaps(prefix("203.0.113.9")));
}

}  // namespace
}  // namespace tails
