#include "fastpath/reassembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "tests/fastpath/reassembly_frames.h"
#include "tests/policy/dice.h"

namespace tails::fastpath {
namespace {

using testing::Dice;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// The frame as a reassembler gives it back: with the id of its pieces, not to be fragmented or not, not padded.
FrameBytes with_id(FrameBytes frame, uint16_t id = 7) {
  const size_t ip = ip_at(frame);
  frame.resize(ip + wire::read_ipv4(std::span(frame).subspan(ip), {false, false, 0}).total_bytes);
  put_word(frame, ip + 4, id);
  put_word(frame, ip + 6, 0);
  fix_header(frame);
  return frame;
}

std::vector<FrameBytes> all_whole(Reassembler& reassembler) {
  std::vector<FrameBytes> frames;
  while (const auto whole = reassembler.next()) frames.push_back(bytes_of(whole->frame));
  return frames;
}

/// The reasons that have dropped something, with how many fragments.
std::map<std::string, uint64_t> drops(const Reassembler& reassembler) {
  std::map<std::string, uint64_t> result;
  for (size_t i = 0; i < kFragmentFaultCount; ++i) {
    const uint64_t count = reassembler.counts().dropped.at(i).packets;
    if (count != 0) result[std::string(name(static_cast<FragmentFault>(i)))] = count;
  }
  return result;
}

TEST(Reassembly, PutsPiecesTogetherInEveryOrder) {
  const FrameBytes frame = udp_frame(100);
  const auto pieces = in_pieces(frame, 24);
  ASSERT_EQ(pieces.size(), 5U);
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  Reassembler reassembler(OwnerSource::kDscp, 1);
  do {
    for (const size_t i : order) {
      EXPECT_FALSE(reassembler.has_whole());
      ASSERT_TRUE(reassembler.take(Side::kInside, pieces[i]));
    }
    EXPECT_THAT(all_whole(reassembler), ElementsAre(with_id(frame)));
  } while (std::ranges::next_permutation(order).found);
  EXPECT_EQ(reassembler.counts().packets, 120U);
  EXPECT_EQ(reassembler.counts().held, 0U);
  expect_every_fragment_counted_once(reassembler.counts());
}

TEST(Reassembly, GivesTheLongestPacketThatItTakesAndNoLongerOne) {
  Reassembler reassembler(OwnerSource::kNone, 1);
  constexpr size_t kMost = Reassembler::kMaxPacketBytes - 28;
  const FrameBytes frame = udp_frame(kMost);
  for (const FrameBytes& piece : in_pieces(frame, 1480)) reassembler.take(Side::kOutside, piece);
  EXPECT_THAT(all_whole(reassembler), ElementsAre(with_id(frame)));
  for (const FrameBytes& piece : in_pieces(udp_frame(kMost + 1), 1480)) reassembler.take(Side::kOutside, piece);
  EXPECT_THAT(all_whole(reassembler), IsEmpty());
  EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"too_long", 45}}));
}

TEST(Reassembly, LeavesAloneWhatIsNoFragmentOrDamaged) {
  Reassembler reassembler(OwnerSource::kDscp, 1);
  EXPECT_FALSE(reassembler.take(Side::kInside, udp_frame(10)));
  FrameBytes piece = cut(udp_frame(100), {0, 24, true});
  piece[24] ^= std::byte{1};  // checksum
  EXPECT_FALSE(reassembler.take(Side::kInside, piece));
  piece = cut(udp_frame(100), {0, 24, true});
  for (size_t length = 0; length < piece.size(); ++length) {
    EXPECT_FALSE(reassembler.take(Side::kInside, std::span(piece).first(length))) << length;
  }
  EXPECT_EQ(reassembler.counts().taken.packets, 0U);
}

/// The pieces as they leave, in the packet's order.
std::vector<FrameBytes> pieces_out(const Reassembler& reassembler, size_t count) {
  std::vector<FrameBytes> frames;
  for (size_t i = 0; i < count; ++i) {
    FrameBytes out(2048);
    out.resize(reassembler.write_piece(i, out));
    frames.push_back(std::move(out));
  }
  return frames;
}

FrameBytes padded(FrameBytes frame) {
  frame.resize(std::max<size_t>(frame.size(), 60));
  return frame;
}

TEST(Reassembly, WhatPassesLeavesAsItCameInOrderWithoutTag) {
  Reassembler reassembler(OwnerSource::kDscp, 1);
  const auto tagged = in_pieces(udp_frame(300, 45), 64), plain = in_pieces(udp_frame(300), 64);
  for (const size_t i : {4U, 0U, 2U, 1U, 3U}) {
    ASSERT_TRUE(reassembler.take(Side::kInside, tagged[i], i));
  }
  const auto whole = reassembler.next();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->pieces, 5U);
  EXPECT_EQ(whole->largest_ip, 84U);
  EXPECT_FALSE(whole->says_whole);
  const auto out = pieces_out(reassembler, whole->pieces);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(out[i], padded(plain[i])) << i;
    EXPECT_EQ(reassembler.piece_number(i), i);
  }
}

TEST(Reassembly, AVlanTagIsTakenOffEveryPiece) {
  wire::FrameSpec spec = udp_spec(100);
  const auto plain = in_pieces(wire::build_frame(spec), 64);
  spec.vlan = 45;
  Reassembler reassembler(OwnerSource::kVlan, 1);
  for (const FrameBytes& piece : in_pieces(wire::build_frame(spec), 64)) reassembler.take(Side::kInside, piece);
  const auto whole = reassembler.next();
  ASSERT_TRUE(whole);
  // The pipeline still sees whose it is.
  EXPECT_EQ(wire::read_ethernet(whole->frame)->vlan, 45);
  EXPECT_THAT(pieces_out(reassembler, whole->pieces), ElementsAre(padded(plain[0]), padded(plain[1])));
}

/// Fragments of one packet of 108 bytes of payload, and what becomes of them.
struct Hostile {
  const char* what;
  std::vector<Cut> cuts;
  std::map<std::string, uint64_t> drops;
  size_t whole = 0;
};

TEST(Reassembly, WhatNoHonestSenderSendsRefusesThePacket) {
  const FrameBytes frame = udp_frame(100);
  const Cut first{0, 48, true}, second{48, 48, true}, last{96, 12, false};
  const std::vector<Hostile> table = {
      {"in order", {first, second, last}, {}, 1},
      {"the same again", {first, first, second, second, last}, {{"duplicate", 2}}, 1},
      {"a part of what is there", {first, {16, 8, true}, second, last}, {{"duplicate", 1}}, 1},
      {"over the end of another", {first, {40, 56, true}, last}, {{"overlap", 2}, {"refused", 1}}},
      {"over the start of another", {second, {0, 56, true}, last}, {{"overlap", 2}, {"refused", 1}}},
      {"around another", {second, {40, 64, true}, first, last}, {{"overlap", 2}, {"refused", 2}}},
      {"over two", {first, second, {40, 16, true}, last}, {{"overlap", 3}, {"refused", 1}}},
      {"two ends", {first, last, {48, 16, false}, second}, {{"inconsistent", 3}, {"refused", 1}}},
      {"an end before what is there", {second, {8, 16, false}, last}, {{"inconsistent", 2}, {"refused", 1}}},
      {"behind the end", {last, {104, 8, true}, first, second}, {{"inconsistent", 2}, {"refused", 2}}},
      {"the last one says that there is more",
       {{88, 16, false}, {88, 16, true}, first},
       {{"inconsistent", 2}, {"refused", 1}}},
      {"nothing inside", {first, {48, 0, true}, second, last}, {{"empty", 2}, {"refused", 2}}},
      {"no multiple of eight", {first, {48, 44, true}, last}, {{"uneven", 2}, {"refused", 1}}},
      {"beyond the longest packet", {first, {65504, 48, false}, second}, {{"too_long", 2}, {"refused", 1}}},
      {"a hole", {first, last}, {}},
  };
  for (const Hostile& one : table) {
    Reassembler reassembler(OwnerSource::kDscp, 1);
    for (const Cut& piece : one.cuts) EXPECT_TRUE(reassembler.take(Side::kInside, cut(frame, piece))) << one.what;
    const auto whole = all_whole(reassembler);
    EXPECT_EQ(whole.size(), one.whole) << one.what;
    for (const FrameBytes& each : whole) EXPECT_EQ(each, with_id(frame)) << one.what;
    EXPECT_EQ(drops(reassembler), one.drops) << one.what;
    expect_every_fragment_counted_once(reassembler.counts());
  }
}

TEST(Reassembly, TheSamePlaceWithOtherBytesIsAnOverlap) {
  const FrameBytes frame = udp_frame(100);
  Reassembler reassembler(OwnerSource::kDscp, 1);
  reassembler.take(Side::kInside, cut(frame, {0, 48, true}));
  FrameBytes other = cut(frame, {0, 48, true});
  other.back() ^= std::byte{1};
  reassembler.take(Side::kInside, other);
  EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"overlap", 2}}));
}

TEST(Reassembly, AFirstPieceHoldsTheTransportHeader) {
  wire::FrameSpec spec;
  spec.payload.resize(60);
  const FrameBytes tcp = wire::build_frame(spec);
  Reassembler reassembler(OwnerSource::kDscp, 1);
  for (const FrameBytes& piece : in_pieces(tcp, 16)) reassembler.take(Side::kInside, piece);
  EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"tiny", 1}, {"refused", 4}}));
  for (const FrameBytes& piece : in_pieces(tcp, 24, 8)) reassembler.take(Side::kInside, piece);
  EXPECT_THAT(all_whole(reassembler), ElementsAre(with_id(tcp, 8)));
}

TEST(Reassembly, CongestionIsToldAndAMixtureIsRefused) {
  const auto with_ecn = [](FrameBytes piece, unsigned ecn) {
    piece[15] |= static_cast<std::byte>(ecn);
    fix_header(piece);
    return piece;
  };
  const auto pieces = in_pieces(udp_frame(50), 32);
  const auto ecn_of_both = [&](unsigned one, unsigned two) {
    Reassembler reassembler(OwnerSource::kDscp, 1);
    reassembler.take(Side::kInside, with_ecn(pieces[0], one));
    reassembler.take(Side::kInside, with_ecn(pieces[1], two));
    const auto whole = reassembler.next();
    return whole ? std::to_integer<int>(whole->frame[15]) : -1;
  };
  // As the kernel's table says (net/ipv4/inet_fragment.c, ip_frag_ecn_table).
  EXPECT_EQ(ecn_of_both(0, 0), 0);
  EXPECT_EQ(ecn_of_both(1, 1), 1);
  EXPECT_EQ(ecn_of_both(2, 1), 2);
  EXPECT_EQ(ecn_of_both(2, 3), 3);
  EXPECT_EQ(ecn_of_both(3, 1), 3);
  for (const unsigned capable : {1U, 2U, 3U}) EXPECT_EQ(ecn_of_both(0, capable), -1);
}

TEST(Reassembly, DontFragmentIsKept) {
  auto pieces = in_pieces(udp_frame(50), 32);
  pieces[1][20] |= std::byte{0x40};
  fix_header(pieces[1]);
  Reassembler reassembler(OwnerSource::kDscp, 1);
  for (const FrameBytes& piece : pieces) reassembler.take(Side::kInside, piece);
  const auto whole = reassembler.next();
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->says_whole);
  EXPECT_EQ(whole->frame[20], std::byte{0x40});
}

TEST(Reassembly, PiecesOfDifferentOwnersSidesAndPacketsNeverMeet) {
  const FrameBytes frame = udp_frame(100, 45);
  const auto first = in_pieces(frame, 64)[0];
  Reassembler reassembler(OwnerSource::kDscp, 1);
  const auto completes = [&](Side from, const FrameBytes& second) {
    reassembler.take(Side::kInside, first);
    reassembler.take(from, second);
    const bool is_whole = !all_whole(reassembler).empty();
    reassembler.finish();
    return is_whole;
  };
  const auto second_of = [&](auto&& change) {
    wire::FrameSpec spec = udp_spec(100, 45);
    uint16_t id = 7;
    change(spec, id);
    return in_pieces(wire::build_frame(spec), 64, id)[1];
  };
  using Spec = wire::FrameSpec;
  EXPECT_TRUE(completes(Side::kInside, second_of([](Spec&, uint16_t&) {})));
  EXPECT_FALSE(completes(Side::kOutside, second_of([](Spec&, uint16_t&) {})));
  EXPECT_FALSE(completes(Side::kInside, second_of([](Spec&, uint16_t& id) { ++id; })));
  EXPECT_FALSE(completes(Side::kInside, second_of([](Spec& spec, uint16_t&) { spec.tos = 46 << 2; })));
  EXPECT_FALSE(completes(Side::kInside, second_of([](Spec& spec, uint16_t&) { spec.vlan = 45; })));
  EXPECT_FALSE(completes(Side::kInside, second_of([](Spec& spec, uint16_t&) { spec.protocol = 136; })));
  EXPECT_FALSE(
      completes(Side::kInside, second_of([](Spec& s, uint16_t&) { s.source = IpAddress::v4(198, 51, 100, 8); })));
  EXPECT_FALSE(
      completes(Side::kInside, second_of([](Spec& s, uint16_t&) { s.destination = IpAddress::v4(192, 0, 2, 2); })));
}

TEST(Reassembly, FromTheOutsideTheServiceClassIsNobodysTag) {
  const auto one = in_pieces(udp_frame(100, 10), 64)[0], two = in_pieces(udp_frame(100, 11), 64)[1];
  Reassembler reassembler(OwnerSource::kDscp, 1);
  reassembler.take(Side::kOutside, one);
  reassembler.take(Side::kOutside, two);
  EXPECT_TRUE(reassembler.has_whole());
}

TEST(Reassembly, ThirtySecondsAfterItsFirstPieceAPacketIsForgotten) {
  const auto pieces = in_pieces(udp_frame(100), 48);
  for (const uint64_t later : {30U, 31U, 1'000'000U}) {
    Reassembler reassembler(OwnerSource::kDscp, 1);
    reassembler.set_time(1000);
    reassembler.take(Side::kInside, pieces[0]);
    reassembler.set_time(1000 + std::min<uint64_t>(later, 29));
    reassembler.take(Side::kInside, pieces[1]);  // does not begin the time anew
    reassembler.set_time(1000 + later);
    reassembler.take(Side::kInside, pieces[2]);
    EXPECT_EQ(reassembler.has_whole(), later == 30) << later;
    if (later > 30) {
      EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"timeout", 2}})) << later;
    }
    expect_every_fragment_counted_once(reassembler.counts());
  }
  // A refused one is remembered as long, and no longer.
  Reassembler reassembler(OwnerSource::kDscp, 1);
  reassembler.take(Side::kInside, cut(udp_frame(100), {0, 12, true}));
  reassembler.set_time(30);
  for (const FrameBytes& piece : pieces) reassembler.take(Side::kInside, piece);
  EXPECT_FALSE(reassembler.has_whole());
  reassembler.set_time(31);
  for (const FrameBytes& piece : pieces) reassembler.take(Side::kInside, piece);
  EXPECT_TRUE(reassembler.has_whole());
}

TEST(Reassembly, TakesSoManyPiecesAndNoMore) {
  Reassembler reassembler(OwnerSource::kNone, 1);
  constexpr size_t kMost = Reassembler::kMaxPieces;
  for (const FrameBytes& piece : in_pieces(udp_frame(8 * kMost - 8), 8)) reassembler.take(Side::kInside, piece);
  EXPECT_TRUE(reassembler.next());
  for (const FrameBytes& piece : in_pieces(udp_frame(8 * kMost), 8)) reassembler.take(Side::kInside, piece);
  EXPECT_FALSE(reassembler.next());
  EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"too_many", kMost + 1}}));
}

TEST(Reassembly, AFloodPushesOutItsOwnAndNobodyElses) {
  Reassembler reassembler(OwnerSource::kDscp, 1, {.packets = 32, .fragments = 40});
  const auto honest = in_pieces(udp_frame(200, 45), 64);
  const auto answer = in_pieces(udp_frame(200), 64);
  for (size_t i = 0; i < honest.size(); ++i) {
    // More than all room, twice, between any two pieces: by one owner, by packets and by pieces.
    for (uint16_t id = 0; id < 80; ++id) {
      reassembler.take(Side::kInside, in_pieces(udp_frame(200, 46), 64, static_cast<uint16_t>(100 * i + id))[0]);
    }
    reassembler.take(Side::kInside, honest[i]);
    reassembler.take(Side::kOutside, answer[i]);
  }
  EXPECT_THAT(all_whole(reassembler), ElementsAre(with_id(udp_frame(200, 45)), with_id(udp_frame(200))));
  EXPECT_LE(reassembler.counts().held, 40U);
  EXPECT_GT(reassembler.counts().dropped[static_cast<size_t>(FragmentFault::kNoRoom)].packets, 200U);
  expect_every_fragment_counted_once(reassembler.counts());
}

TEST(Reassembly, ItsOwnPieceDoesNotPushAPacketOut) {
  Reassembler reassembler(OwnerSource::kDscp, 1, {.packets = 4, .fragments = 3});
  const auto pieces = in_pieces(udp_frame(200), 64);
  for (size_t i = 0; i < 4; ++i) reassembler.take(Side::kInside, pieces[i]);
  EXPECT_FALSE(reassembler.has_whole());
  EXPECT_EQ(drops(reassembler), (std::map<std::string, uint64_t>{{"no_room", 4}}));
}

TEST(Reassembly, SaysWhichFragmentsItDropped) {
  std::vector<std::pair<uint64_t, FragmentFault>> told;
  Reassembler reassembler(OwnerSource::kDscp, 1);
  reassembler.when_dropped([&](uint64_t number, FragmentFault fault) { told.emplace_back(number, fault); });
  const FrameBytes frame = udp_frame(100);
  reassembler.take(Side::kInside, cut(frame, {0, 48, true}), 11);
  reassembler.take(Side::kInside, cut(frame, {40, 48, true}), 12);
  reassembler.take(Side::kInside, cut(frame, {96, 12, false}), 13);
  reassembler.take(Side::kInside, cut(frame, {0, 48, true}, 9), 14);
  reassembler.finish();
  using enum FragmentFault;
  EXPECT_THAT(told, ElementsAre(std::pair(12, kOverlap), std::pair(11, kOverlap), std::pair(13, kRefused),
                                std::pair(14, kUnfinished)));
}

TEST(Reassembly, OfACutCaptureItKnowsHowMuchIsThere) {
  const FrameBytes frame = udp_frame(200);
  const auto pieces = in_pieces(frame, 104);
  Reassembler reassembler(OwnerSource::kDscp, 1);
  for (const FrameBytes& piece : pieces) {
    const wire::ReadOptions cut_short{true, false, piece.size()};
    reassembler.take(Side::kInside, std::span(piece).first(60), 0, cut_short);
  }
  const auto whole = reassembler.next();
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->frame.size(), 242U);
  EXPECT_EQ(whole->kept_bytes, 60U);
  FrameBytes there = with_id(frame);
  there.resize(60);
  EXPECT_EQ(bytes_of(whole->frame.first(60)), there);
}

}  // namespace
}  // namespace tails::fastpath
