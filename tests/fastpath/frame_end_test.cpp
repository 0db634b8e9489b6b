// What lies behind a packet's end in its frame.
#include "fastpath/frame_end.h"

#include <gtest/gtest.h>

#include <vector>

#include "net/frame_builder.h"

namespace tails::fastpath {
namespace {

std::vector<std::byte> udp(size_t payload) {
  wire::FrameSpec spec;
  spec.source = IpAddress::v4(192, 0, 2, 10);
  spec.destination = IpAddress::v4(198, 51, 100, 7);
  spec.protocol = protocol::kUdp;
  spec.payload.assign(payload, std::byte{0xAA});
  auto frame = wire::build_frame(spec);
  frame.resize(14 + 20 + 8 + payload);
  return frame;
}

void add(std::vector<std::byte>& frame, size_t count) { frame.insert(frame.end(), count, std::byte{0x55}); }

TEST(FrameEnd, WhatAPacketFillsStaysAsItIs) {
  for (const size_t payload : {0UL, 18UL, 100UL, 1472UL}) {
    auto frame = udp(payload);
    const auto before = frame;
    EXPECT_EQ(cut_behind_packet(frame.data(), frame.size()), frame.size());
    EXPECT_EQ(frame, before);
  }
}

TEST(FrameEnd, PaddingUpToTheLeastFrameBecomesZeros) {
  auto frame = udp(4);
  const auto packet = frame;
  add(frame, 14);
  ASSERT_EQ(frame.size(), kLeastFrame);
  EXPECT_EQ(cut_behind_packet(frame.data(), frame.size()), kLeastFrame);
  EXPECT_TRUE(std::equal(packet.begin(), packet.end(), frame.begin()));
  EXPECT_TRUE(std::all_of(frame.begin() + 46, frame.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST(FrameEnd, WhatIsLongerThanItsPacketIsCut) {
  auto frame = udp(100);
  const size_t length = frame.size();
  add(frame, 900);
  EXPECT_EQ(cut_behind_packet(frame.data(), frame.size()), length);

  auto small = udp(0);
  add(small, 900);
  EXPECT_EQ(cut_behind_packet(small.data(), small.size()), kLeastFrame);
  for (size_t i = 42; i < kLeastFrame; ++i) EXPECT_EQ(small[i], std::byte{0}) << i;
}

TEST(FrameEnd, ArpEndsAfterItsTwentyEightBytes) {
  std::vector<std::byte> frame(14 + 28, std::byte{1});
  frame[12] = std::byte{0x08};
  frame[13] = std::byte{0x06};
  add(frame, 200);
  EXPECT_EQ(cut_behind_packet(frame.data(), frame.size()), kLeastFrame);
  for (size_t i = 42; i < kLeastFrame; ++i) EXPECT_EQ(frame[i], std::byte{0}) << i;
}

TEST(FrameEnd, AFrameShorterThanItsPacketSaysIsLeftToTheParser) {
  auto frame = udp(100);
  frame.resize(60);
  EXPECT_EQ(cut_behind_packet(frame.data(), frame.size()), 60U);
}

}  // namespace
}  // namespace tails::fastpath
