// Any frames, in any order and from either side, through the wire filter: by every set of loops that this processor can
// run, which must agree on each frame, and, where the input asks for it, beside the judge. What passes is sound and
// bears no tag.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "fastpath/judge.h"
#include "fastpath/pipeline.h"
#include "fastpath/refusal.h"
#include "net/frame_builder.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)

/// Says in the end how many frames were judged: 100 million of them are the aim of the long search.
struct Tally {
  uint64_t frames = 0;
  ~Tally() { std::fprintf(stderr, "%llu frames went through a pipeline\n", static_cast<unsigned long long>(frames)); }
};

/// The profile `tails`, for each way of saying whose a frame is.
struct Rules {
  ruleset::RuleSet set;
  WireView view;
  std::shared_ptr<const FilterRules> filter;

  explicit Rules(OwnerSource source) {
    const policy::Policy policy = testing::profile("tails");
    set = policy::lower(policy);
    view.owner_source = source;
    if (source != OwnerSource::kNone) view.owners = *policy::owner_tags(policy);
    filter = *FilterRules::make(set, view);
  }
};

/// One frame of the input.
struct Given {
  Side from = Side::kInside;
  uint64_t later = 0;  ///< Seconds after the one before.
  std::vector<std::byte> bytes;
};

/// Control byte (side, whether to make the checksums right, time), length in two bytes, the frame.
std::vector<Given> read_frames(const uint8_t* data, size_t size) {
  std::vector<Given> frames;
  for (size_t at = 0; at + 3 <= size && frames.size() < 256;) {
    Given given;
    const unsigned control = data[at];
    given.from = static_cast<Side>(control & 1);
    constexpr std::array<uint64_t, 4> kLater = {0, 1, 31, 500'000};
    given.later = kLater.at(control >> 2 & 3);
    const size_t length = std::min<size_t>((data[at + 1] | data[at + 2] << 8) & 0x7FF, size - at - 3);
    const auto* bytes = reinterpret_cast<const std::byte*>(data + at + 3);
    given.bytes.assign(bytes, bytes + length);
    at += 3 + length;
    if ((control & 2) != 0 && length > 34) {
      const auto packet = std::span(given.bytes).subspan(14);
      if (wire::read_ipv4(packet, {false, false, 0}).fault == wire::Fault::kNone) wire::fix_checksums(packet);
    }
    frames.push_back(std::move(given));
  }
  return frames;
}

/// A small table in memory of our own: every input begins with an empty one.
class Memories {
 public:
  static constexpr size_t kBytes = 64 * 64;
  Memory take(size_t i) {
    void* data = memories_.at(i).data();
    std::memset(data, 0, kBytes);
    return {data, kBytes, [](void*) {}};
  }

 private:
  struct alignas(64) Block : std::array<std::byte, kBytes> {};
  std::array<Block, 4> memories_;
};

/// A frame's memory, readable as far as `Burst` wants it and no byte further.
std::unique_ptr<std::byte[]> room_for(const std::vector<std::byte>& frame) {
  auto room = std::make_unique<std::byte[]>(std::max(frame.size(), Burst::kReadable) + Burst::kReadable);
  std::ranges::copy(frame, room.get());
  return room;
}

[[noreturn]] void differ(size_t frame, Outcome a, Outcome b, const char* who) {
  std::fprintf(stderr, "frame %zu: %s says %s, the first pipeline %s\n", frame, who, std::string(name(b)).c_str(),
               std::string(name(a)).c_str());
  std::abort();
}

void expect_sound(const Burst& burst, unsigned i, const WireView& view) {
  if (burst.outcome[i] == Outcome::kArp) return;
  const wire::Bytes frame(burst.data[i] + burst.trim[i], size_t{burst.length[i]} - burst.trim[i]);
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->vlan) std::abort();
  const wire::Ipv4 ip = wire::read_ipv4(frame.subspan(14));
  if (ip.fault != wire::Fault::kNone) std::abort();
  if (view.owner_source == OwnerSource::kDscp && ip.dscp() != 0) std::abort();
}

}  // namespace

/// First byte: bits 0..1 where owners are told, bit 2 whether the judge is asked as well; then frames.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<Rules, 3> kRules = {Rules(OwnerSource::kNone), Rules(OwnerSource::kDscp),
                                              Rules(OwnerSource::kVlan)};
  static Memories memories;
  static Tally tally;
  if (size < 4) return 0;
  const Rules& rules = kRules.at(static_cast<size_t>(data[0] & 3) % kRules.size());
  const bool asks_judge = (data[0] & 4) != 0;
  const std::vector<Given> frames = read_frames(data + 1, size - 1);

  std::vector<Outcome> outcomes;
  size_t number = 0;
  for (const Kernels* kernels : usable_kernels()) {
    Pipeline pipeline(rules.filter, FlowTable(memories.take(number), 7), *kernels);
    uint64_t now = 1000;
    auto burst = std::make_unique<Burst>();
    for (size_t first = 0; first < frames.size();) {
      // As many as come from one side at one time.
      std::vector<std::unique_ptr<std::byte[]>> rooms;
      burst->count = 0;
      now += frames[first].later;
      size_t next = first;
      do {
        rooms.push_back(room_for(frames[next].bytes));
        burst->data[burst->count] = rooms.back().get();
        burst->length[burst->count] = static_cast<uint16_t>(frames[next].bytes.size());
        burst->known_good[burst->count++] = 0;
        ++next;
      } while (next < frames.size() && burst->count < kBurst && frames[next].from == frames[first].from &&
               frames[next].later == 0);
      pipeline.set_time(now);
      pipeline.process(frames[first].from, *burst);
      tally.frames += burst->count;
      if (burst->passed_count + burst->dropped_count != burst->count) std::abort();
      for (unsigned i = 0; i < burst->count; ++i) {
        if (number == 0) {
          outcomes.push_back(burst->outcome[i]);
        } else if (outcomes[first + i] != burst->outcome[i]) {
          differ(first + i, outcomes[first + i], burst->outcome[i], "another set of loops");
        }
        std::array<std::byte, kMaxRefusalBytes> refusal{};
        (void)write_refusal({burst->data[i], burst->length[i]}, refusal);
      }
      for (unsigned p = 0; p < burst->passed_count; ++p) expect_sound(*burst, burst->passed[p], rules.view);
      first = next;
    }
    ++number;
  }
  if (!asks_judge) return 0;
  Judge judge(rules.set, rules.view);
  uint64_t now = 1000;
  for (size_t i = 0; i < frames.size(); ++i) {
    now += frames[i].later;
    const Outcome said = judge.judge(frames[i].from, frames[i].bytes, now).outcome;
    // From here on the small table knows fewer flows than the judge.
    if (outcomes[i] == Outcome::kTableFull) return 0;
    if (said != outcomes[i]) differ(i, outcomes[i], said, "the judge");
  }
  return 0;
}
