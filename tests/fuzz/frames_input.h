#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The form of an input of the target `frames`: a byte of options, then frames, each a control byte (bit 0 the side,
/// bit 1 whether its checksums are made right, bits 2 and 3 how much later it comes), its length in two bytes, its
/// bytes.
namespace tails::fuzz {

inline constexpr size_t kMaxFrames = 256;
inline constexpr size_t kLengthMask = 0x7FF;

struct RawFrame {
  uint8_t control = 0;
  std::vector<uint8_t> bytes;
};

/// Of what stands behind the first byte. A frame that the input ends in is as long as is left.
inline std::vector<RawFrame> read_raw(std::span<const uint8_t> data) {
  std::vector<RawFrame> frames;
  for (size_t at = 0; at + 3 <= data.size() && frames.size() < kMaxFrames;) {
    const size_t said = (data[at + 1] | size_t{data[at + 2]} << 8) & kLengthMask;
    const size_t length = std::min(said, data.size() - at - 3);
    const auto bytes = data.subspan(at + 3, length);
    frames.push_back({data[at], {bytes.begin(), bytes.end()}});
    at += 3 + length;
  }
  return frames;
}

/// As many of the frames as fit; the number of bytes.
inline size_t write_raw(const std::vector<RawFrame>& frames, std::span<uint8_t> out) {
  size_t at = 0;
  for (const RawFrame& frame : frames) {
    if (at + 3 + frame.bytes.size() > out.size()) break;
    out[at] = frame.control;
    out[at + 1] = static_cast<uint8_t>(frame.bytes.size());
    out[at + 2] = static_cast<uint8_t>(frame.bytes.size() >> 8);
    std::copy(frame.bytes.begin(), frame.bytes.end(), out.begin() + static_cast<long>(at + 3));
    at += 3 + frame.bytes.size();
  }
  return at;
}

}  // namespace tails::fuzz
