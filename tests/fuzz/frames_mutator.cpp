// How libFuzzer changes an input of the target `frames`. Half of the time bytes, as always; else whole frames: sound
// ones come in, and those that are there move, repeat, answer, go, or fall into fragments. So inputs grow to many
// frames, and flows to all of their states.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "policy/lower_owner_tags.h"
#include "tests/fastpath/fragments.h"
#include "tests/fastpath/frame_source.h"
#include "tests/fuzz/frames_input.h"
#include "tests/policy/generators.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)
using fuzz::RawFrame;

RawFrame raw(Side from, uint8_t more_control, const FrameBytes& frame) {
  RawFrame result{static_cast<uint8_t>(static_cast<unsigned>(from) | more_control), {}};
  for (const std::byte b : frame) result.bytes.push_back(std::to_integer<uint8_t>(b));
  if (result.bytes.size() > fuzz::kLengthMask) result.bytes.resize(fuzz::kLengthMask);
  return result;
}

/// The frame's packet in pieces; nothing where it is none that can be cut.
std::vector<RawFrame> pieces_of(const RawFrame& frame, testing::Dice& dice) {
  FrameBytes bytes;
  for (const uint8_t b : frame.bytes) bytes.push_back(static_cast<std::byte>(b));
  const auto ethernet = wire::read_ethernet(bytes);
  if (!ethernet || ethernet->type != wire::kTypeIpv4) return {};
  const wire::Bytes packet = std::span(bytes).subspan(ethernet->header_bytes);
  if (wire::read_ipv4(packet, {false, false, 0}).fault != wire::Fault::kNone) return {};
  std::vector<RawFrame> pieces;
  const auto id = static_cast<uint16_t>(dice.below(3));
  for (const FrameBytes& piece : in_pieces(bytes, 8 * (1 + dice.below(6)), id)) {
    pieces.push_back(raw(static_cast<Side>(frame.control & 1), frame.control & 0xC, piece));
  }
  return pieces;
}

/// Gives sound frames under the profile `tails`, for the ways of telling an owner in turn.
std::vector<std::byte> some_frame(Side from, testing::Dice& dice) {
  static const std::vector<OwnerTag> kTags = *policy::owner_tags(testing::profile("tails"));
  WireView view;
  view.owners = kTags;
  view.owner_source = static_cast<OwnerSource>(dice.below(3));
  return FrameSource(view, dice.bits()).next(from);
}

void change(std::vector<RawFrame>& frames, testing::Dice& dice) {
  const auto place = [&] { return static_cast<long>(dice.below(frames.size() + 1)); };
  const size_t what = frames.empty() ? 0 : dice.below(8);
  if (what <= 1) {
    const auto from = static_cast<Side>(dice.below(2));
    const auto control = static_cast<uint8_t>((dice.chance(70) ? 2 : 0) | (dice.chance(5) ? 4 * dice.below(4) : 0));
    frames.insert(frames.begin() + place(), raw(from, control, some_frame(from, dice)));
    return;
  }
  const size_t which = dice.below(frames.size());
  switch (what) {
    case 2: frames.insert(frames.begin() + place(), RawFrame(frames[which])); break;
    case 3: frames.erase(frames.begin() + static_cast<long>(which)); break;
    case 4: std::swap(frames[which], frames[dice.below(frames.size())]); break;
    case 5: frames[which].control ^= static_cast<uint8_t>(1U << dice.below(4)); break;
    case 6: {
      const auto pieces = pieces_of(frames[which], dice);
      if (pieces.empty()) break;
      frames.erase(frames.begin() + static_cast<long>(which));
      for (const RawFrame& piece : pieces) {
        const long at = dice.chance(80) ? static_cast<long>(std::min(which, frames.size())) : place();
        frames.insert(frames.begin() + at, piece);
      }
      break;
    }
    default: {  // the answer: ends change places, and the side
      RawFrame answer = frames[which];
      auto& bytes = answer.bytes;
      if (bytes.size() >= 38) {
        std::swap_ranges(bytes.begin(), bytes.begin() + 6, bytes.begin() + 6);
        std::swap_ranges(bytes.begin() + 26, bytes.begin() + 30, bytes.begin() + 30);
        std::swap_ranges(bytes.begin() + 34, bytes.begin() + 36, bytes.begin() + 36);
      }
      answer.control ^= 1;
      frames.insert(frames.begin() + static_cast<long>(which) + 1, answer);
    }
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  testing::Dice dice(seed);
  if (size < 1 || dice.chance(50)) return LLVMFuzzerMutate(data, size, max_size);
  std::vector<RawFrame> frames = fuzz::read_raw({data + 1, size - 1});
  for (size_t n = 1 + dice.below(6); n > 0; --n) change(frames, dice);
  if (dice.chance(10)) data[0] ^= static_cast<uint8_t>(1U << dice.below(4));
  return 1 + fuzz::write_raw(frames, {data + 1, max_size - 1});
}
