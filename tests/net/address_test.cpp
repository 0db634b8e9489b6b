#include "net/address.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace tails {
namespace {

TEST(IpAddress, ReadsAndWritesWhatInetPtonDoes) {
  struct Row {
    std::string text;
    IpAddress address;
    std::string written;
  };
  const std::vector<Row> rows = {
      {"0.0.0.0", IpAddress::v4(0), "0.0.0.0"},
      {"192.0.2.1", IpAddress::v4(0xC0000201), "192.0.2.1"},
      {"255.255.255.255", IpAddress::v4(0xFFFFFFFF), "255.255.255.255"},
      {"::", IpAddress::v6(0, 0), "::"},
      {"::1", kLoopbackV6, "::1"},
      {"2001:db8::1", IpAddress::v6(0x20010DB800000000, 1), "2001:db8::1"},
      {"2001:DB8:0:0:0:0:0:1", IpAddress::v6(0x20010DB800000000, 1), "2001:db8::1"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", IpAddress::v6(~uint64_t{0}, ~uint64_t{0}),
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"::ffff:192.0.2.1", IpAddress::v6(0, 0xFFFFC0000201), "::ffff:192.0.2.1"},
  };
  for (const Row& row : rows) {
    const auto address = IpAddress::parse(row.text);
    ASSERT_TRUE(address) << row.text;
    EXPECT_EQ(*address, row.address) << row.text;
    EXPECT_EQ(to_string(*address), row.written);
  }
}

TEST(IpAddress, RefusesEverythingElse) {
  for (const std::string& text : {std::string(),
                                  std::string("1"),
                                  std::string("1.2.3"),
                                  std::string("1.2.3.256"),
                                  std::string("1.2.3.4.5"),
                                  std::string("01.2.3.4"),
                                  std::string("0x1.2.3.4"),
                                  std::string("1.2.3.4 "),
                                  std::string(" 1.2.3.4"),
                                  std::string("1.2.3.4/32"),
                                  std::string("-1.2.3.4"),
                                  std::string(":"),
                                  std::string(":::"),
                                  std::string("1:2:3:4:5:6:7:8:9"),
                                  std::string("fe80::1%eth0"),
                                  std::string("[::1]"),
                                  std::string("localhost"),
                                  std::string("1.2.3.4\0", 8),
                                  std::string("::1\0x", 5),
                                  std::string(100, '1')}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(IpAddress, KeepsItsBytesOnTheWire) {
  const std::array<unsigned char, 4> v4 = {192, 0, 2, 1};
  EXPECT_EQ(IpAddress::from_wire(Family::kIpv4, v4.data()), IpAddress::v4(192, 0, 2, 1));
  std::array<unsigned char, 16> v6{};
  for (unsigned char i = 0; i < 16; ++i) v6[i] = static_cast<unsigned char>(0xF0 + i);
  const IpAddress address = IpAddress::from_wire(Family::kIpv6, v6.data());
  EXPECT_EQ(address, IpAddress::v6(0xF0F1F2F3F4F5F6F7, 0xF8F9FAFBFCFDFEFF));
  std::array<unsigned char, 16> back{};
  address.to_wire(back.data());
  EXPECT_EQ(back, v6);
  std::array<unsigned char, 4> back4{};
  IpAddress::v4(192, 0, 2, 1).to_wire(back4.data());
  EXPECT_EQ(back4, v4);
}

TEST(IpAddress, CountsBitsFromTheMostSignificant) {
  const IpAddress v4 = IpAddress::v4(0x80000001);
  EXPECT_TRUE(v4.bit(0));
  EXPECT_FALSE(v4.bit(1));
  EXPECT_FALSE(v4.bit(30));
  EXPECT_TRUE(v4.bit(31));
  const IpAddress v6 = IpAddress::v6(0x8000000000000001, 0x8000000000000001);
  for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(v6.bit(i), i == 0 || i == 63 || i == 64 || i == 127) << i;
}

TEST(IpAddress, FamiliesNeverEqualEachOther) {
  EXPECT_NE(IpAddress::v4(1), IpAddress::v6(0, 1));
  EXPECT_LT(IpAddress::v4(0xFFFFFFFF), IpAddress::v6(0, 0));
  EXPECT_LT(IpAddress::v6(0, ~uint64_t{0}), IpAddress::v6(1, 0));
}

TEST(Mask, HasItsLengthInLeadingOnes) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (unsigned length = 0; length <= address_bits(family); ++length) {
      const IpAddress mask = mask_of(family, length);
      EXPECT_EQ(mask.family, family);
      for (unsigned i = 0; i < address_bits(family); ++i) EXPECT_EQ(mask.bit(i), i < length) << length << ' ' << i;
      EXPECT_EQ(prefix_length(mask), length);
    }
  }
}

TEST(Mask, WithHolesHasNoLength) {
  EXPECT_EQ(prefix_length(IpAddress::v4(255, 0, 255, 0)), std::nullopt);
  EXPECT_EQ(prefix_length(IpAddress::v4(1)), std::nullopt);
  EXPECT_EQ(prefix_length(IpAddress::v4(0x7FFFFFFF)), std::nullopt);
  EXPECT_EQ(prefix_length(IpAddress::v6(0, 1)), std::nullopt);
  EXPECT_EQ(prefix_length(IpAddress::v6(0xFFFF, ~uint64_t{0})), std::nullopt);
  EXPECT_EQ(prefix_length(IpAddress::v6(~uint64_t{0} << 1, uint64_t{1} << 63)), std::nullopt);
}

}  // namespace
}  // namespace tails
