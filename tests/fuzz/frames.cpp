// Any frames, in any order and from either side, through the wire filter: by every set of loops that this processor can
// run, which must agree on each frame, and, where the input asks for it, beside the judge. What passes is sound and
// bears no tag. Fragments are dropped or, where the input asks for that, put together first.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fastpath/judge.h"
#include "fastpath/pipeline.h"
#include "fastpath/reassembly.h"
#include "fastpath/refusal.h"
#include "net/frame_builder.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/fuzz/frames_input.h"
#include "tests/policy/generators.h"

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)

/// Says in the end how many frames were fed, each counted once however many loops judged it: 100 million of them are
/// the aim of the long search.
struct Tally {
  uint64_t frames = 0, fragments = 0, packets = 0;
  ~Tally() {
    std::fprintf(stderr, "%llu frames were judged, %llu of them made of %llu fragments\n",
                 static_cast<unsigned long long>(frames), static_cast<unsigned long long>(packets),
                 static_cast<unsigned long long>(fragments));
  }
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

std::vector<Given> read_frames(std::span<const uint8_t> data) {
  std::vector<Given> frames;
  for (const fuzz::RawFrame& raw : fuzz::read_raw(data)) {
    Given given;
    given.from = static_cast<Side>(raw.control & 1);
    constexpr std::array<uint64_t, 4> kLater = {0, 1, 31, 500'000};
    given.later = kLater.at(raw.control >> 2 & 3);
    const auto bytes = std::as_bytes(std::span(raw.bytes));
    given.bytes.assign(bytes.begin(), bytes.end());
    const auto ethernet = wire::read_ethernet(given.bytes);
    if ((raw.control & 2) != 0 && ethernet) {
      const auto packet = std::span(given.bytes).subspan(ethernet->header_bytes);
      if (wire::read_ipv4(packet, {false, false, 0}).fault == wire::Fault::kNone) wire::fix_checksums(packet);
    }
    frames.push_back(std::move(given));
  }
  return frames;
}

/// The frames as they come out of a reassembler, in which few fragments fit: what is none stays where it is, what
/// became whole stands where its last fragment stood. The pieces in which it would leave are those in which it came.
std::vector<Given> put_together(std::vector<Given> frames, OwnerSource source, Tally& tally) {
  Reassembler reassembler(source, 7, {.packets = 6, .fragments = 12, .frame_bytes = 2048});
  std::vector<Given> result;
  uint64_t now = 1000, waited = 0;
  for (Given& given : frames) {
    now += given.later;
    waited += given.later;
    reassembler.set_time(now);
    if (!reassembler.take(given.from, given.bytes)) {
      given.later = waited;
      waited = 0;
      result.push_back(std::move(given));
      continue;
    }
    ++tally.fragments;
    while (const auto whole = reassembler.next()) {
      ++tally.packets;
      size_t payload = 0;
      for (size_t i = 0; i < whole->pieces; ++i) {
        std::array<std::byte, 2048> piece{};
        const wire::Bytes bytes = std::span(piece).first(reassembler.write_piece(i, piece));
        const auto fragment = read_fragment(bytes);
        if (!fragment || fragment->vlan || fragment->offset != payload) std::abort();
        if (source == OwnerSource::kDscp && fragment->dscp != 0) std::abort();
        payload += fragment->payload_bytes;
      }
      if (whole->pieces < 2 || whole->pieces > 12) std::abort();
      result.push_back({whole->from, waited, {whole->frame.begin(), whole->frame.end()}});
      waited = 0;
    }
  }
  const FragmentCounts& counts = reassembler.counts();
  uint64_t sum = counts.whole.packets + counts.held;
  for (const Count& dropped : counts.dropped) sum += dropped.packets;
  if (sum != counts.taken.packets) std::abort();
  return result;
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

/// First byte: bits 0..1 where owners are told, bit 2 whether the judge is asked as well, bit 3 whether fragments are
/// put together; then frames.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<Rules, 3> kRules = {Rules(OwnerSource::kNone), Rules(OwnerSource::kDscp),
                                              Rules(OwnerSource::kVlan)};
  static Memories memories;
  static Tally tally;
  if (size < 4) return 0;
  const Rules& rules = kRules.at(static_cast<size_t>(data[0] & 3) % kRules.size());
  const bool asks_judge = (data[0] & 4) != 0;
  std::vector<Given> frames = read_frames({data + 1, size - 1});
  if ((data[0] & 8) != 0) frames = put_together(std::move(frames), rules.view.owner_source, tally);
  tally.frames += frames.size();

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
