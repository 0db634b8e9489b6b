// The reassembler beside a model of it that is as plain as can be, with random fragments.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "fastpath/reassembly.h"
#include "tests/fastpath/reassembly_frames.h"
#include "tests/policy/dice.h"

namespace tails::fastpath {
namespace {

using testing::Dice;

/// The fragments of each packet in a list, bytes in a map.
class PlainModel {
 public:
  struct Said {
    FrameBytes whole;  ///< The payload; empty where the packet is not whole yet.
    std::map<FragmentFault, int> drops;
  };

  Said take(uint16_t id, const Cut& piece, const FrameBytes& payload, uint64_t now) {
    Said said;
    auto at = packets_.find(id);
    if (at != packets_.end() && now - at->second.begun > 30) {
      packets_.erase(at);
      at = packets_.end();
    }
    if (at == packets_.end()) at = packets_.emplace(id, Packet{now, false, 0, {}, {}}).first;
    Packet& packet = at->second;
    if (packet.is_refused) {
      ++said.drops[FragmentFault::kRefused];
      return said;
    }
    if (const auto fault = fault_of(packet, piece, payload)) {
      ++said.drops[*fault];
      if (*fault == FragmentFault::kDuplicate) return said;
      if (!packet.cuts.empty()) said.drops[*fault] += static_cast<int>(packet.cuts.size());
      packet = {packet.begun, true, 0, {}, {}};
      return said;
    }
    packet.cuts.push_back(piece);
    for (size_t i = 0; i < piece.bytes; ++i) packet.bytes[piece.offset + i] = payload[i];
    if (!piece.has_more) packet.end = piece.offset + piece.bytes;
    if (packet.end != 0 && packet.bytes.size() == packet.end) {
      for (const auto& [place, byte] : packet.bytes) said.whole.push_back(byte);
      packets_.erase(at);
    }
    return said;
  }

 private:
  struct Packet {
    uint64_t begun = 0;
    bool is_refused = false;
    size_t end = 0;
    std::vector<Cut> cuts;
    std::map<size_t, std::byte> bytes;
  };

  static std::optional<FragmentFault> fault_of(const Packet& packet, const Cut& piece, const FrameBytes& payload) {
    const size_t end = piece.offset + piece.bytes;
    if (piece.bytes == 0) return FragmentFault::kEmpty;
    if (piece.has_more && piece.bytes % 8 != 0) return FragmentFault::kUneven;
    if (piece.has_more && packet.end != 0 && end > packet.end) return FragmentFault::kInconsistent;
    if (!piece.has_more && packet.end != 0 && end != packet.end) return FragmentFault::kInconsistent;
    if (!piece.has_more && !packet.bytes.empty() && packet.bytes.rbegin()->first >= end)
      return FragmentFault::kInconsistent;
    size_t there = 0;
    bool differs = false;
    for (size_t i = 0; i < piece.bytes; ++i) {
      const auto byte = packet.bytes.find(piece.offset + i);
      if (byte == packet.bytes.end()) continue;
      ++there;
      differs = differs || byte->second != payload[i];
    }
    if (there == 0) return std::nullopt;
    const auto holds = [&](const Cut& cut) { return cut.offset <= piece.offset && end <= cut.offset + cut.bytes; };
    const auto around = std::ranges::find_if(packet.cuts, holds);
    if (around == packet.cuts.end()) return FragmentFault::kOverlap;
    if (around->offset + around->bytes == end && around->has_more != piece.has_more)
      return FragmentFault::kInconsistent;
    return differs ? FragmentFault::kOverlap : FragmentFault::kDuplicate;
  }

  std::map<uint16_t, Packet> packets_;
};

TEST(Reassembly, DoesWhatThePlainModelDoesWithRandomFragments) {
  Dice dice(testing::seed_or(31));
  const FrameBytes frame = udp_frame(120);
  const FrameBytes payload = ip_payload(frame);
  Reassembler reassembler(OwnerSource::kNone, dice.bits(), {.packets = 4096, .fragments = 16384, .frame_bytes = 256});
  std::map<FragmentFault, int> dropped;
  uint64_t whole = 0;
  std::map<FragmentFault, uint64_t> seen;
  reassembler.when_dropped([&](uint64_t, FragmentFault fault) { ++dropped[fault]; });
  PlainModel model;
  uint64_t now = 1;
  for (int i = 0; i < 300'000; ++i) {
    if (dice.chance(5)) reassembler.set_time(now += dice.below(4));
    const auto id = static_cast<uint16_t>(dice.below(60));
    Cut piece{8 * dice.below(16), 8 * (1 + dice.below(6)), true};
    if (dice.chance(90)) {  // as an honest sender cuts: at the same places
      piece.offset = piece.offset / 32 * 32;
      piece.bytes = 32;
    }
    if (piece.offset + piece.bytes >= payload.size() && dice.chance(95)) {
      piece.bytes = payload.size() - piece.offset;
      piece.has_more = false;
    }
    if (dice.chance(1)) piece.has_more = !piece.has_more;
    if (dice.chance(1)) piece.bytes = dice.below(20);
    if (piece.offset == 0) piece.has_more = true;  // else it is no fragment
    FrameBytes made = cut(frame, piece, id);
    if (dice.chance(1) && piece.bytes > 0) made.back() ^= std::byte{1};
    const FrameBytes said_payload(made.end() - static_cast<long>(piece.bytes), made.end());
    // What time took goes beforehand, in the model with the packet's next fragment.
    for (auto& [fault, count] : dropped) seen[fault] += static_cast<uint64_t>(count);
    dropped.clear();
    ASSERT_TRUE(reassembler.take(Side::kInside, made));
    const PlainModel::Said said = model.take(id, piece, said_payload, now);
    ASSERT_EQ(dropped, said.drops) << i;
    ASSERT_EQ(reassembler.has_whole(), !said.whole.empty()) << i;
    if (said.whole.empty()) continue;
    ++whole;
    ASSERT_EQ(bytes_of(reassembler.next()->frame.subspan(34)), said.whole) << i;
  }
  expect_every_fragment_counted_once(reassembler.counts());
  EXPECT_EQ(reassembler.counts().packets, whole);
  EXPECT_GT(whole, 5'000U);
  for (const auto fault : {FragmentFault::kEmpty, FragmentFault::kUneven, FragmentFault::kOverlap,
                           FragmentFault::kInconsistent, FragmentFault::kRefused, FragmentFault::kDuplicate}) {
    EXPECT_GT(seen[fault], 200U) << name(fault);
  }
}

TEST(Reassembly, NeverHoldsMoreThanItsRoomWhateverComes) {
  Dice dice(testing::seed_or(32));
  const Reassembler::Limits limits{.packets = 50, .fragments = 64, .frame_bytes = 256};
  Reassembler reassembler(OwnerSource::kDscp, dice.bits(), limits);
  std::vector<FrameBytes> frames;
  for (uint8_t tag = 0; tag < 8; ++tag) frames.push_back(udp_frame(200, tag));
  uint64_t now = 0, out = 0;
  for (int i = 0; i < 200'000; ++i) {
    if (dice.chance(2)) reassembler.set_time(now += dice.below(dice.chance(10) ? 100'000 : 3));
    const size_t offset = dice.below(4) * 56;
    const Cut piece{offset, std::min<size_t>(56, 208 - offset), offset + 56 < 208};
    const auto side = static_cast<Side>(dice.below(2));
    reassembler.take(side, cut(dice.pick(frames), piece, static_cast<uint16_t>(dice.below(6))));
    ASSERT_LE(reassembler.counts().held, limits.fragments);
    while (const auto whole = reassembler.next()) {
      ++out;
      ASSERT_EQ(whole->pieces, 4U);
    }
  }
  EXPECT_GT(out, 1000U);
  expect_every_fragment_counted_once(reassembler.counts());
}

}  // namespace
}  // namespace tails::fastpath
