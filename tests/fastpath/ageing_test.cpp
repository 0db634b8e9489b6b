// Flows that are over go in time, at every rate, and the table never holds more than it has room for. The clock is
// given.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "fastpath/pipeline.h"
#include "net/frame_builder.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace tails::fastpath {
namespace {

constexpr uint8_t kTor = 45;

std::shared_ptr<const FilterRules> tails_rules() {
  const policy::Policy policy = testing::profile("tails");
  WireView view;
  view.owners = *policy::owner_tags(policy);
  return *FilterRules::make(policy::lower(policy), view);
}

/// A pipeline under load: frames that are made once and given other ports each time.
class Load {
 public:
  explicit Load(size_t flows) : pipeline_(tails_rules(), FlowTable(*Memory::map(FlowTable::bytes_for(flows)), 3)) {
    wire::FrameSpec spec;
    spec.tos = kTor << 2;
    for (auto& room : rooms_) {
      room = wire::build_frame(spec);
      room.resize(room.size() + Burst::kReadable);
    }
    udp_ = spec;
    udp_.protocol = protocol::kUdp;
    udp_.destination_port = 53;
  }

  /// One burst: the first `opening` frames each open a flow (UDP, never answered), the others belong to one old flow.
  void burst(unsigned count, unsigned opening) {
    auto& b = *burst_;
    b.count = count;
    for (unsigned i = 0; i < count; ++i) {
      wire::FrameSpec spec = udp_;
      if (i < opening) {
        ++opened_;
        spec.source_port = static_cast<Port>(opened_);
        spec.destination = IpAddress::v4(0x08000000 + static_cast<uint32_t>(opened_ >> 16));
      } else {
        spec.source_port = 1;
        spec.destination = IpAddress::v4(9, 9, 9, 9);
      }
      const auto frame = wire::build_frame(spec);
      std::copy(frame.begin(), frame.end(), rooms_[i].begin());
      b.data[i] = rooms_[i].data();
      b.length[i] = static_cast<uint16_t>(frame.size());
      b.known_good[i] = Burst::kIpChecksumGood | Burst::kTransportChecksumGood;
    }
    pipeline_.process(Side::kInside, b);
    passed_ += b.passed_count;
  }

  Pipeline& pipeline() { return pipeline_; }
  [[nodiscard]] uint64_t passed() const { return passed_; }
  [[nodiscard]] uint64_t refused() const {
    return pipeline_.outcomes()[static_cast<size_t>(Outcome::kTableFull)].packets;
  }

 private:
  Pipeline pipeline_;
  std::unique_ptr<Burst> burst_ = std::make_unique<Burst>();
  std::array<std::vector<std::byte>, kBurst> rooms_;
  wire::FrameSpec udp_;
  uint64_t opened_ = 0;
  uint64_t passed_ = 0;
};

/// The proportions of a table for 1,000,000 flows (524,288 buckets) in a small one.
constexpr size_t kFlows = 2048, kBuckets = 1024, kScale = 524'288 / kBuckets;

/// At a steady rate, `seconds` long: how many seconds behind its time the sweep is, counted in the flows that are over
/// and still there.
double seconds_behind(uint64_t packets_per_second, unsigned burst, uint64_t flows_per_second) {
  Load load(kFlows);
  EXPECT_EQ(load.pipeline().flows().bucket_count(), kBuckets);
  const uint64_t bursts = packets_per_second / kScale / burst;
  const uint64_t opening = flows_per_second / kScale;
  double worst = 0;
  for (uint64_t second = 1; second <= 45; ++second) {
    load.pipeline().set_time(second);
    uint64_t left = opening;
    for (uint64_t b = 0; b < bursts; ++b) {
      const auto now = static_cast<unsigned>(std::min<uint64_t>(burst, left / (bursts - b)));
      load.burst(burst, now);
      left -= now;
    }
    // A flow lives in its second and the thirty after it.
    const uint64_t living = std::min<uint64_t>(second, 31) * opening;
    const uint64_t size = load.pipeline().flows().size();
    if (size > living) worst = std::max(worst, static_cast<double>(size - living) / static_cast<double>(opening));
  }
  EXPECT_EQ(load.refused(), 0U);
  return worst;
}

TEST(Ageing, KeepsUpAtEveryRateAndTheBetterTheMoreComes) {
  // In bursts as full as they get, packets a second of a table for 1,000,000 flows; 30,000 of them open one.
  const double at_4m = seconds_behind(4'000'000, 64, 30'000), at_16m = seconds_behind(16'000'000, 64, 30'000);
  // A round of the sweep takes 524,288 buckets / 3 for each 64 frames: 2.8 seconds at 4 million a second, 0.7 at 16.
  EXPECT_LT(at_4m, 3.5);
  EXPECT_LT(at_16m, 1.5);
  RecordProperty("seconds_behind_at_4m", std::to_string(at_4m));
  RecordProperty("seconds_behind_at_16m", std::to_string(at_16m));
  // Few come at once when few come: then each round looks after a bucket for every frame.
  EXPECT_LT(seconds_behind(500'000, 1, 30'000), 1.5);
}

TEST(Ageing, UnderAFloodOfNewFlowsTheTableStaysWithinItsBoundAndEmptiesAfterIt) {
  Load load(kFlows);
  const FlowTable& flows = load.pipeline().flows();
  // Every packet opens a flow that nobody answers, and many times more than there is room for live.
  uint64_t sent = 0;
  for (uint64_t second = 1; second <= 40; ++second) {
    load.pipeline().set_time(second);
    for (int b = 0; b < 100; ++b, sent += kBurst) {
      load.burst(kBurst, kBurst);
      ASSERT_LE(flows.size(), flows.capacity());
    }
  }
  // The oldest make room: none was turned away.
  EXPECT_EQ(load.refused(), 0U);
  EXPECT_EQ(load.passed(), sent);
  // What is left is over after its time, and gone after one round.
  load.pipeline().set_time(40 + 31);
  load.pipeline().sweep(flows.bucket_count());
  EXPECT_EQ(flows.size(), 0U);
}

TEST(Ageing, OverAMonthOfDaysNothingStaysLongerThanItsTimeAndNothingGoesEarly) {
  Load load(kFlows);
  const FlowTable& flows = load.pipeline().flows();
  constexpr uint64_t kStep = 600, kMonth = 30 * 86400;
  for (uint64_t now = kStep; now < kMonth; now += kStep) {
    load.pipeline().set_time(now);
    load.burst(32, 31);  // and the flow that all share
    load.pipeline().sweep(flows.bucket_count());
    ASSERT_EQ(flows.size(), 32U) << now;
    load.pipeline().set_time(now + 30);
    load.pipeline().sweep(flows.bucket_count());
    ASSERT_EQ(flows.size(), 32U) << now;
    load.pipeline().set_time(now + 31);
    load.pipeline().sweep(flows.bucket_count());
    ASSERT_EQ(flows.size(), 0U) << now;
  }
}

}  // namespace
}  // namespace tails::fastpath
