#pragma once

#include <gtest/gtest.h>

#include <span>

#include "fastpath/reassembly.h"
#include "net/frame_builder.h"
#include "tests/fastpath/fragments.h"

/// What the tests of the reassembler have in common.
namespace tails::fastpath {

/// A UDP packet whose every byte tells where it stands.
inline wire::FrameSpec udp_spec(size_t payload, uint8_t dscp = 0) {
  wire::FrameSpec spec;
  spec.protocol = protocol::kUdp;
  spec.tos = static_cast<uint8_t>(dscp << 2);
  spec.payload.resize(payload, std::byte{});
  for (size_t i = 0; i < payload; ++i) spec.payload[i] = static_cast<std::byte>(i * 7 + i / 256);
  return spec;
}
inline FrameBytes udp_frame(size_t payload, uint8_t dscp = 0) { return wire::build_frame(udp_spec(payload, dscp)); }

inline FrameBytes bytes_of(std::span<const std::byte> bytes) { return {bytes.begin(), bytes.end()}; }

inline void expect_every_fragment_counted_once(const FragmentCounts& counts) {
  uint64_t sum = counts.whole.packets + counts.held;
  for (const Count& dropped : counts.dropped) sum += dropped.packets;
  EXPECT_EQ(sum, counts.taken.packets);
}

}  // namespace tails::fastpath
