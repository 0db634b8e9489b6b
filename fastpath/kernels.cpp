#include "fastpath/kernels.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "fastpath/questions.h"
#include "net/frame_builder.h"

namespace tails::fastpath {

extern const Kernels kKernelsSse2;
extern const Kernels kKernelsAvx2;
extern const Kernels kKernelsAvx512;

namespace {

struct Usable {
  std::array<const Kernels*, 3> all{&kKernelsSse2};
  size_t count = 1;

  Usable() {
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    if (has_avx2) all[count++] = &kKernelsAvx2;
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bitalg")) {
      all[count++] = &kKernelsAvx512;
    }
  }
};

/// A burst of common frames and a small table, to run kernels on.
class Exercise {
 public:
  Exercise() : buckets_(256), memory_(kBurst * kFrame) {
    flows_.buckets = buckets_.data();
    flows_.mask = static_cast<uint32_t>(buckets_.size() - 1);
    flows_.seeds = HashSeeds::of(1);
    std::ranges::fill(tables_.is_known, uint8_t{255});
    wire::FrameSpec spec;
    spec.payload.resize(10);
    for (unsigned i = 0; i < kBurst; ++i) {
      spec.source_port = static_cast<Port>(1000 + i);
      spec.protocol = i % 4 == 3 ? protocol::kUdp : protocol::kTcp;
      const auto frame = wire::build_frame(spec);
      data_[i] = &memory_[i * kFrame];
      std::memcpy(data_[i], frame.data(), frame.size());
      length_[i] = static_cast<uint16_t>(frame.size());
    }
  }

  /// Nanoseconds of one burst.
  double time(const Kernels& kernels) {
    const ParseJob parse{Side::kInside, data_.data(), length_.data(), zeros_.data(), kBurst,
                         &tables_,      0x3F,         true,           &flows_,       &work_};
    LookUpJob look{Side::kInside, &flows_, kBurst, &steps_, heads_.data(), heads_.data(), &work_, 0, 0, 0, 0};
    constexpr int kRounds = 100;
    const auto start = std::chrono::steady_clock::now();
    for (int round = 0; round < kRounds; ++round) {
      kernels.parse(parse);
      kernels.look_up(look);
      uint64_t live = ~uint64_t{0};
      std::array<VerdictGroup, kVerdictGroups> groups;
      const unsigned count = kernels.group(work_.head, live, groups.data());
      kernels.count_bytes(length_.data(), groups.data(), count);
      kernels.list(~look.asked, zeros_.data());
      zeros_.fill(0);
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    return took.count() / kRounds;
  }

 private:
  static constexpr size_t kFrame = 192;  // a line of cache more than a frame and what may be read behind it

  FlowSearch flows_{};
  ParseTables tables_{};
  Steps steps_{};
  BurstWork work_{};
  std::vector<FlowBucket> buckets_;
  std::vector<std::byte> memory_;
  std::array<std::byte*, kBurst> data_{};
  std::array<uint16_t, kBurst> length_{};
  std::array<uint8_t, kBurst> zeros_{};
  std::array<uint16_t, 64> heads_{};
};

const Kernels& measure() {
  const auto exercise = std::make_unique<Exercise>();
  const auto usable = usable_kernels();
  std::array<double, 3> best{};
  best.fill(std::numeric_limits<double>::max());
  // The least of many, in turn: a machine that is busy with something else slows all of them, but never speeds one up.
  for (int round = 0; round < 40; ++round) {
    for (size_t k = 0; k < usable.size(); ++k) best[k] = std::min(best[k], exercise->time(*usable[k]));
  }
  return *usable[static_cast<size_t>(std::ranges::min_element(best) - best.begin())];
}

}  // namespace

std::span<const Kernels* const> usable_kernels() {
  static const Usable usable;
  return {usable.all.data(), usable.count};
}

const Kernels& fastest_kernels() {
  static const Kernels& fastest = measure();
  return fastest;
}

}  // namespace tails::fastpath
