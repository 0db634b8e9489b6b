#include "fastpath/refusal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "fastpath/counters.h"
#include "net/frame_builder.h"

namespace tails::fastpath {
namespace {

struct Answer {
  size_t length = 0;
  std::array<std::byte, kMaxRefusalBytes> bytes{};

  [[nodiscard]] wire::Ethernet ethernet() const { return *wire::read_ethernet(std::span(bytes).first(length)); }
  /// Checksums count.
  [[nodiscard]] wire::Ipv4 ip() const { return wire::read_ipv4(std::span(bytes).subspan(14, length - 14)); }
  [[nodiscard]] uint32_t word(size_t offset) const {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(bytes.at(offset + i));
    return value;
  }
};

Answer refuse(const std::vector<std::byte>& frame) {
  Answer answer;
  answer.length = write_refusal(frame, answer.bytes);
  return answer;
}

TEST(Refusal, ASynIsReset) {
  wire::FrameSpec spec;
  spec.tcp_sequence = 0xFFFFFFFF;
  spec.payload.resize(5, std::byte{});
  const Answer answer = refuse(wire::build_frame(spec));
  ASSERT_EQ(answer.length, 54U);
  EXPECT_EQ(answer.ethernet().destination, spec.source_mac);
  EXPECT_EQ(answer.ethernet().source, spec.destination_mac);
  const wire::Ipv4 ip = answer.ip();
  EXPECT_EQ(ip.fault, wire::Fault::kNone);
  EXPECT_EQ(ip.source, spec.destination);
  EXPECT_EQ(ip.destination, spec.source);
  EXPECT_EQ(ip.source_port, spec.destination_port);
  EXPECT_EQ(ip.destination_port, spec.source_port);
  EXPECT_EQ(ip.tcp_flags, tcp_flag::kRst | tcp_flag::kAck);
  EXPECT_EQ(answer.word(34 + 8), 5U);  // sequence + 5 bytes + SYN
}

TEST(Refusal, ASegmentInTheMiddleIsResetWhereItsSenderExpectsIt) {
  wire::FrameSpec spec;
  spec.tcp_flags = tcp_flag::kAck;
  spec.tcp_acknowledgement = 77;
  const Answer answer = refuse(wire::build_frame(spec));
  ASSERT_EQ(answer.length, 54U);
  EXPECT_EQ(answer.ip().tcp_flags, tcp_flag::kRst);
  EXPECT_EQ(answer.word(34 + 4), 77U);
}

TEST(Refusal, WhatIsNotTcpIsToldThatThePortIsUnreachable) {
  wire::FrameSpec spec;
  spec.protocol = protocol::kUdp;
  spec.ip_options.resize(40, std::byte{1});
  spec.payload.resize(100, std::byte{0xAB});
  const auto frame = wire::build_frame(spec);
  const Answer answer = refuse(frame);
  ASSERT_EQ(answer.length, kMaxRefusalBytes);
  const wire::Ipv4 ip = answer.ip();
  EXPECT_EQ(ip.fault, wire::Fault::kNone);
  EXPECT_EQ(ip.icmp_type, 3);
  EXPECT_EQ(ip.icmp_code, 3);
  EXPECT_TRUE(std::equal(frame.begin() + 14, frame.begin() + 14 + 68, answer.bytes.begin() + 42));
}

TEST(Refusal, NothingAnswersWhatMustNotBeAnswered) {
  const auto length = [](auto&& change) {
    wire::FrameSpec spec;
    spec.protocol = protocol::kUdp;
    change(spec);
    return refuse(wire::build_frame(spec)).length;
  };
  EXPECT_NE(length([](auto&) {}), 0U);
  EXPECT_EQ(length([](auto& s) { s.protocol = protocol::kTcp, s.tcp_flags = tcp_flag::kRst; }), 0U);
  EXPECT_EQ(length([](auto& s) { s.protocol = protocol::kIcmp, s.icmp_type = 3; }), 0U);
  EXPECT_NE(length([](auto& s) { s.protocol = protocol::kIcmp, s.icmp_type = 8; }), 0U);
  EXPECT_EQ(length([](auto& s) { s.destination_mac = {0x01, 0, 0x5E, 0, 0, 1}; }), 0U);
  EXPECT_EQ(length([](auto& s) { s.destination = IpAddress::v4(224, 0, 0, 251); }), 0U);
  EXPECT_EQ(length([](auto& s) { s.destination = IpAddress::v4(255, 255, 255, 255); }), 0U);
  EXPECT_EQ(length([](auto& s) { s.source = IpAddress::v4(0, 0, 0, 0); }), 0U);
  EXPECT_EQ(length([](auto& s) { s.source = IpAddress::v4(127, 0, 0, 1); }), 0U);
  EXPECT_EQ(refuse(std::vector<std::byte>(60)).length, 0U);
}

TEST(RateLimit, LetsABurstThroughAndThenSoManyASecond) {
  RateLimit limit(1000, 100);
  const auto taken = [&](uint64_t now_ns) {
    int n = 0;
    while (limit.take(now_ns)) ++n;
    return n;
  };
  constexpr uint64_t kSecond = 1'000'000'000;
  EXPECT_EQ(taken(5 * kSecond), 100);
  EXPECT_EQ(taken(5 * kSecond + 999'999), 0);
  EXPECT_EQ(taken(5 * kSecond + 10'000'000), 10);
  EXPECT_EQ(taken(90 * 86400 * kSecond), 100);
}

TEST(Prometheus, EscapesLabelsAndGivesEveryMetricItsType) {
  Counters counters;
  counters.outcomes[static_cast<size_t>(Outcome::kIpv6)] = {7, 700};
  counters.entries[{"service \"a\\b\"", "x.toml:3", Verdict::kReject}] = {2, 120};
  counters.flows = 5;
  const std::string text = prometheus_text(counters);
  EXPECT_NE(text.find("# TYPE tails_iptc_fastpath_frames_total counter\n"), std::string::npos);
  EXPECT_NE(text.find("\ntails_iptc_fastpath_frames_total{outcome=\"ipv6\"} 7\n"), std::string::npos);
  EXPECT_NE(text.find("\ntails_iptc_fastpath_entry_packets_total{entry=\"service \\\"a\\\\b\\\"\",origin=\"x.toml:3\","
                      "verdict=\"reject\"} 2\n"),
            std::string::npos);
  EXPECT_NE(text.find("# TYPE tails_iptc_fastpath_flows gauge\ntails_iptc_fastpath_flows 5\n"), std::string::npos);
}

}  // namespace
}  // namespace tails::fastpath
