#include "fastpath/flow_table.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "tests/policy/dice.h"

namespace tails::fastpath {
namespace {

using flow_model::Event;
using flow_model::FlowBook;
using testing::Dice;

FlowTable table_for(size_t flows, uint64_t seed = 1) {
  return FlowTable(*Memory::map(FlowTable::bytes_for(flows)), seed);
}

FlowTable table_of(size_t buckets, uint64_t seed = 1) { return FlowTable(*Memory::map(buckets * 64), seed); }

FlowKey udp_key(uint32_t n) {
  return FlowKey::make(0xC6336407, 0xC0000200 + n / 50000, static_cast<uint16_t>(n % 50000), 53, FlowClass::kUdp);
}

FlowTable::Place insert(FlowTable& table, const FlowKey& key, Phase phase = Phase::kUnreplied, uint8_t owner = 1) {
  return table.insert(key, table.hash(key), Side::kInside, owner, phase);
}

constexpr auto kKeepAll = [](const FlowEntry&) { return true; };

TEST(FlowKey, IsTheSameForBothDirectionsAndOnlyForThose) {
  const FlowTuple tcp{protocol::kTcp, {IpAddress::v4(10, 0, 0, 1), 4000}, {IpAddress::v4(192, 0, 2, 1), 443}, 0, 0, 0};
  EXPECT_EQ(flow_key(Side::kInside, tcp), flow_key(Side::kOutside, flow_model::answer_to(tcp)));
  EXPECT_NE(flow_key(Side::kInside, tcp), flow_key(Side::kOutside, tcp));
  FlowTuple udp = tcp;
  udp.protocol = protocol::kUdp;
  EXPECT_NE(flow_key(Side::kInside, tcp), flow_key(Side::kInside, udp));

  FlowTuple ping{protocol::kIcmp, {IpAddress::v4(10, 0, 0, 1), 0}, {IpAddress::v4(192, 0, 2, 1), 0}, 8, 0, 7};
  EXPECT_EQ(flow_key(Side::kInside, ping), flow_key(Side::kOutside, flow_model::answer_to(ping)));
  FlowTuple their_ping = flow_model::answer_to(ping);
  their_ping.icmp_type = 8;
  EXPECT_NE(flow_key(Side::kInside, ping), flow_key(Side::kOutside, their_ping));

  FlowTuple gre = tcp;
  gre.protocol = 47;
  gre.source.port = gre.destination.port = 0;
  FlowTuple esp = gre;
  esp.protocol = 50;
  EXPECT_NE(flow_key(Side::kInside, gre), flow_key(Side::kInside, esp));
}

TEST(FlowTable, FindsWhatWasInsertedAndNothingElse) {
  FlowTable table = table_for(10000);
  for (uint32_t n = 0; n < 10000; ++n) {
    const FlowKey key = udp_key(n);
    ASSERT_NE(insert(table, key).entry, nullptr);
  }
  EXPECT_EQ(table.size(), 10000U);
  for (uint32_t n = 0; n < 20000; ++n) {
    const FlowKey key = udp_key(n);
    const FlowEntry* entry = table.find(key, table.hash(key));
    ASSERT_EQ(entry != nullptr, n < 10000) << n;
    ASSERT_TRUE(entry == nullptr || entry->key() == key);
  }
}

/// What differs in a single bit is another flow, also where the hash is the same.
TEST(FlowTable, ComparesEveryBitOfTheKey) {
  FlowTable table = table_of(2);
  const FlowKey key = FlowKey::make(0xC6336407, 0xC0000201, 4000, 443, FlowClass::kTcp);
  insert(table, key, Phase::kSynSent);
  const uint64_t hash = table.hash(key);
  for (unsigned bit = 0; bit < 99; ++bit) {
    FlowKey other = key;
    (bit < 64 ? other.ends : other.rest) ^= uint64_t{1} << bit % 64;
    EXPECT_EQ(table.find(other, hash), nullptr) << bit;
  }
  EXPECT_NE(table.find(key, hash), nullptr);
}

TEST(FlowTable, NeverGrowsAndMakesRoomOnlyByWhatWasNeverAnswered) {
  FlowTable table = table_of(2);
  std::vector<FlowKey> keys;
  for (uint32_t n = 0; n < 8; ++n) {
    keys.push_back(udp_key(n));
    const FlowTable::Place place = insert(table, keys[n]);
    ASSERT_NE(place.entry, nullptr);
    ASSERT_FALSE(place.evicted);
    if (n != 3) table.update(*place.entry, Phase::kReplied, true);
  }
  EXPECT_EQ(table.size(), table.capacity());
  const FlowTable::Place place = insert(table, udp_key(9));
  ASSERT_NE(place.entry, nullptr);
  EXPECT_EQ(place.evicted, keys[3]);
  table.update(*place.entry, Phase::kReplied, true);
  EXPECT_EQ(insert(table, udp_key(10)).entry, nullptr);
  EXPECT_EQ(table.size(), 8U);
}

/// A handshake has 60 s once it was answered, a SYN 120 s: by the time that is left a flood threw out who was
/// connecting.
TEST(FlowTable, MakesRoomByWhatIsOverThenByWhoWaitsLongestAndLastByWhoWasAnswered) {
  const auto tcp_key = [](uint32_t n) {
    return FlowKey::make(0xC6336407, 0xC0000201, static_cast<uint16_t>(4000 + n), 443, FlowClass::kTcp);
  };
  FlowTable table = table_of(2);
  const FlowKey answered = tcp_key(0), query = udp_key(1), over = tcp_key(2);
  insert(table, answered, Phase::kSynReceived);
  for (uint32_t n = 10; n < 15; ++n) insert(table, tcp_key(n), Phase::kSynSent);
  table.set_time(2);
  insert(table, query);
  table.update(*insert(table, over, Phase::kSynSent).entry, Phase::kClosed, true);
  ASSERT_EQ(table.size(), table.capacity());
  std::vector<std::optional<FlowKey>> gone;
  table.set_time(5);
  for (uint32_t n = 20; n < 27; ++n) {
    const FlowTable::Place place = insert(table, tcp_key(n), Phase::kSynSent);
    ASSERT_NE(place.entry, nullptr);
    gone.push_back(place.evicted);
  }
  EXPECT_EQ(gone.front(), over);
  for (size_t i = 1; i < 6; ++i) {
    ASSERT_TRUE(gone[i]);
    EXPECT_TRUE(*gone[i] != answered && *gone[i] != query) << i;
  }
  EXPECT_EQ(gone[6], query);
  EXPECT_NE(table.find(answered, table.hash(answered)), nullptr);
}

TEST(FlowTable, AFlowThatIsOverGivesItsPlaceAway) {
  FlowTable table = table_of(2);
  for (uint32_t n = 0; n < 8; ++n) {
    table.update(*insert(table, udp_key(n)).entry, Phase::kReplied, true);
  }
  table.set_time(30);
  EXPECT_EQ(insert(table, udp_key(10)).entry, nullptr);
  table.set_time(31);
  EXPECT_NE(insert(table, udp_key(10)).entry, nullptr);
  EXPECT_EQ(table.size(), 8U);
}

TEST(FlowTable, OverflowIsForgottenTwoRoundsAfterItsCause) {
  FlowTable table = table_of(64);
  // Six flows whose first bucket is the same.
  for (uint32_t n = 0, found = 0; found < 6; ++n) {
    if ((table.hash(udp_key(n)) & 63) != 7) continue;
    insert(table, udp_key(n));
    ++found;
  }
  EXPECT_EQ(table.overflowed_buckets(), 1U);
  table.set_time(31);
  for (int round = 0; round < 4; ++round) table.sweep(64, kKeepAll);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.overflowed_buckets(), 0U);
}

TEST(FlowTable, HoldsTwoThirdsOfItsPlacesBeforeItTurnsAnyoneAway) {
  FlowTable table = table_of(1024);
  for (uint32_t n = 0; n < 4096 * 2 / 3; ++n) {
    const FlowTable::Place place = insert(table, udp_key(n));
    ASSERT_NE(place.entry, nullptr) << n;
    ASSERT_FALSE(place.evicted) << n;
    table.update(*place.entry, Phase::kStream, true);
  }
  for (uint32_t n = 0; n < 4096 * 2 / 3; ++n) ASSERT_NE(table.find(udp_key(n), table.hash(udp_key(n))), nullptr);
}

TEST(FlowTable, OverflowIsRememberedWhileItsFlowsLive) {
  FlowTable table = table_for(2000, 9);
  std::vector<FlowKey> keys;
  Dice dice(3);
  for (uint32_t n = 0; n < 3500; ++n) {
    keys.push_back(udp_key(n));
    const auto place = insert(table, keys.back());
    if (place.evicted) std::erase(keys, *place.evicted);
  }
  ASSERT_GT(table.overflowed_buckets(), 0U);
  for (int step = 0; step < 3000; ++step) {
    table.sweep(1 + dice.below(40), kKeepAll);
    const FlowKey& key = dice.pick(keys);
    ASSERT_NE(table.find(key, table.hash(key)), nullptr) << step;
  }
}

TEST(FlowTable, AnOldGenerationIsJudgedOnceAndForgottenWhereItFails) {
  FlowTable table = table_for(100);
  for (uint32_t n = 0; n < 100; ++n) {
    insert(table, udp_key(n), Phase::kUnreplied, static_cast<uint8_t>(n % 2));
  }
  ASSERT_TRUE(table.may_start_generation());
  table.next_generation();
  EXPECT_FALSE(table.may_start_generation());
  int judged = 0;
  table.sweep(table.bucket_count(), [&](const FlowEntry& entry) {
    ++judged;
    return entry.owner() == 1;
  });
  EXPECT_EQ(judged, 100);
  EXPECT_EQ(table.size(), 50U);
  EXPECT_TRUE(table.may_start_generation());
  table.sweep(table.bucket_count(), [&](const FlowEntry&) { return false; });
  EXPECT_EQ(table.size(), 50U);
}

TEST(FlowTable, TimeMayJumpByHoursDaysAndWeeks) {
  const std::vector<uint64_t> jumps = {
      29, 30, 31, 32768, 32798, 65536, 65566, 5 * 86400, 5 * 86400 + 16, 6 * 86400, 524288, 600000, 40 * 86400};
  for (const uint64_t jump : jumps) {
    FlowTable table = table_for(10);
    table.set_time(1000);
    const FlowKey udp = udp_key(1);
    const FlowKey tcp = FlowKey::make(udp.inside(), udp.outside(), 1, 2, FlowClass::kTcp);
    insert(table, udp);
    table.update(*insert(table, tcp, Phase::kSynSent).entry, Phase::kEstablished, true);
    table.set_time(1000 + jump);
    const auto is_alive = [&](const FlowKey& key) {
      const FlowEntry* entry = table.find(key, table.hash(key));
      return entry != nullptr && table.lives(*entry);
    };
    EXPECT_EQ(is_alive(udp), jump <= 30) << jump;
    EXPECT_EQ(is_alive(tcp), jump <= 5 * 86400 + 7) << jump;  // 1000 lies 7 s before the end of its tick
  }
}

/// The table and the plain book of flows, moved by the same packets.
class Twins {
 public:
  Twins(FlowTable table, uint64_t seed) : table_(std::move(table)), dice_(seed) {}

  /// One random packet or a step of time. False (with a failure) where the two differ.
  bool step() {
    if (dice_.chance(1)) {
      now_ += dice_.chance(98) ? dice_.below(3) : dice_.below(dice_.chance(90) ? 200 : 700000);
      table_.set_time(now_);
    }
    if (dice_.chance(20)) table_.sweep(dice_.below(4), kKeepAll);

    const auto from = static_cast<Side>(dice_.below(2));
    const FlowTuple tuple = from == Side::kInside ? some_tuple() : flow_model::answer_to(some_tuple());
    const auto flags = static_cast<uint8_t>(dice_.pick(kFlags));
    const Event event =
        flow_model::event_of(tuple.protocol, tuple.protocol == protocol::kTcp ? flags : tuple.icmp_type);
    const auto owner = static_cast<uint8_t>(dice_.below(64));

    const FlowBook::Sight sight = book_.look(from, tuple, event, now_);
    const FlowKey key = flow_key(from, tuple);
    const uint64_t hash = table_.hash(key);
    FlowEntry* entry = table_.find(key, hash);
    if (entry != nullptr && !table_.lives(*entry)) entry = nullptr;
    const Phase phase = entry == nullptr ? Phase::kNone : entry->phase();
    const Direction direction = entry == nullptr || entry->opener() == from ? Direction::kOriginal : Direction::kReply;
    const flow_model::Step step = flow_model::step(phase, direction, event);
    if (phase != sight.phase || step != sight.step || direction != sight.direction ||
        (entry != nullptr && entry->owner() != sight.owner)) {
      ADD_FAILURE() << "phase " << int(phase) << " for " << int(sight.phase) << ", state " << int(step.state) << " for "
                    << int(sight.step.state) << " at " << now_;
      return false;
    }
    if (step.state == ConnState::kInvalid || dice_.chance(5)) return true;  // a blocked packet moves nothing
    if (step.opens) {
      const FlowTable::Place place = table_.insert(key, hash, from, owner, step.next);
      if (place.evicted) {
        ++evictions;
        forget(*place.evicted);
      }
      if (place.entry == nullptr) {
        ++refusals;
        return true;
      }
    } else {
      table_.update(*entry, step.next, step.refreshes);
    }
    book_.pass(from, tuple, sight, owner, now_);
    return true;
  }

  size_t evictions = 0;
  size_t refusals = 0;

  [[nodiscard]] const FlowTable& table() const { return table_; }
  size_t living() { return book_.expire(now_); }

 private:
  static constexpr unsigned kFlags[] = {0x02, 0x02, 0x12, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 0x14, 0x04, 0x00, 0x06};

  /// A tuple as the inside sends it, from a pool of some hundreds.
  FlowTuple some_tuple() {
    constexpr uint8_t kProtocols[] = {6, 6, 6, 6, 17, 17, 1, 47, 132};
    FlowTuple tuple;
    tuple.protocol = dice_.pick(kProtocols);
    tuple.source.address = IpAddress::v4(10, 0, 0, static_cast<uint8_t>(dice_.below(3)));
    tuple.destination.address = IpAddress::v4(192, 0, 2, static_cast<uint8_t>(dice_.below(4)));
    if (tuple.protocol == protocol::kIcmp) {
      constexpr uint8_t kTypes[] = {8, 8, 0, 13, 14, 3};
      tuple.icmp_type = dice_.pick(kTypes);
      tuple.icmp_id = static_cast<uint16_t>(tuple.icmp_type == 3 ? 0 : dice_.below(4));
    } else if (tuple.protocol != 47) {
      tuple.source.port = static_cast<Port>(dice_.below(6));
      tuple.destination.port = static_cast<Port>(dice_.below(3));
    }
    return tuple;
  }

  void forget(const FlowKey& key) {
    FlowTuple tuple;
    const auto c = key.flow_class();
    constexpr uint8_t kProtocolOf[] = {0, 6, 17, 1, 136, 132, 33, 0};
    tuple.protocol =
        c == FlowClass::kOther ? static_cast<uint8_t>(key.inside_port()) : kProtocolOf[static_cast<size_t>(c)];
    tuple.source.address = IpAddress::v4(key.inside());
    tuple.destination.address = IpAddress::v4(key.outside());
    Side from = Side::kInside;
    if (c == FlowClass::kIcmp) {
      tuple.icmp_id = key.inside_port();
      tuple.icmp_type = key.outside_port() & 0x7F;
      tuple.icmp_code = static_cast<uint8_t>(key.outside_port() >> 8);
      if ((key.outside_port() & 0x80) != 0) {
        from = Side::kOutside;
        std::swap(tuple.source, tuple.destination);
      }
    } else if (c != FlowClass::kOther) {
      tuple.source.port = key.inside_port();
      tuple.destination.port = key.outside_port();
    }
    book_.forget(from, tuple);
  }

  FlowTable table_;
  FlowBook book_;
  Dice dice_;
  uint64_t now_ = 0;
};

TEST(FlowTable, DoesWhatThePlainBookDoesInTenMillionRandomSteps) {
  // Room for all flows but not in their first bucket: overflow, without eviction.
  Twins roomy(table_of(512, testing::seed_or(4)), 4);
  for (int i = 0; i < 5'000'000; ++i) ASSERT_TRUE(roomy.step()) << i;
  // Far too small: eviction and refusal all the time.
  Twins narrow(table_of(16, testing::seed_or(5)), 5);
  for (int i = 0; i < 5'000'000; ++i) ASSERT_TRUE(narrow.step()) << i;
  EXPECT_GT(narrow.evictions, 1000U);
  EXPECT_GT(narrow.refusals, 100U);
  EXPECT_LE(narrow.table().size(), narrow.table().capacity());
}

}  // namespace
}  // namespace tails::fastpath
