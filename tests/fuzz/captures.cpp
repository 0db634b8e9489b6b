// Any bytes as a capture, read by libpcap and judged: something is said of every frame, of each once, and a file that
// ends or breaks in the middle was judged up to there.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>

#include "fastpath/capture/capture_file.h"
#include "fastpath/replay.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace {

using namespace tails;            // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::fastpath;  // NOLINT(google-build-using-namespace)

struct Rules {
  ruleset::RuleSet set;
  std::vector<OwnerTag> owners;
  Rules() {
    const policy::Policy policy = testing::profile("tails");
    set = policy::lower(policy);
    owners = *policy::owner_tags(policy);
  }
};

/// A file in memory that has a path.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(::memfd_create("capture", MFD_CLOEXEC)) {
    if (descriptor_ < 0) std::abort();
  }
  std::string with(const uint8_t* data, size_t size) const {
    if (::ftruncate(descriptor_, 0) != 0 || ::pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size)) {
      std::abort();
    }
    return "/proc/self/fd/" + std::to_string(descriptor_);
  }

 private:
  int descriptor_;
};

template <class Each>
void for_each_frame(const std::string& path, Each&& each) {
  auto file = CaptureFile::open(path);
  if (!file) {
    if (file.error().message.empty() || file.error().remedy.empty()) std::abort();
    return;
  }
  while (true) {
    const auto frame = file->next();
    if (!frame || !*frame) return;
    if ((*frame)->bytes.size() > (*frame)->wire_bytes) std::abort();
    each(**frame);
  }
}

}  // namespace

/// The last byte: bits 0..1 where owners are told, 2 any owner, 3 checksums, 4 fragments are put together.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Rules rules;
  static const MemoryFile memory;
  if (size < 2) return 0;
  const unsigned options = data[size - 1];
  const std::string path = memory.with(data, size - 1);
  WireView view;
  view.owner_source = static_cast<OwnerSource>((options & 3) % 3);
  if (view.owner_source != OwnerSource::kNone) view.owners = rules.owners;
  StationBook book;
  uint64_t learnt = 0;
  for_each_frame(path, [&](const CapturedFrame& frame) {
    book.learn(frame);
    ++learnt;
  });
  const Inside inside = book.is_told() ? Inside() : book.busiest().value_or(Inside());
  // Little room for fragments, so that it runs out.
  Replay replay(rules.set, view, inside,
                {.any_owner = (options & 4) != 0,
                 .checksums = (options & 8) != 0,
                 .reassembles = (options & 16) != 0,
                 .limits = {.packets = 4, .fragments = 12, .frame_bytes = 4096}});
  uint64_t frames = 0;
  std::set<uint64_t> said;
  const auto take = [&](const std::vector<Replay::Entry>& entries) {
    for (const Replay::Entry& entry : entries) {
      if (entry.number == 0 || entry.number > frames || !said.insert(entry.number).second) std::abort();
      if (entry.finding == Finding::kCannotTell && entry.reason.empty()) std::abort();
    }
  };
  for_each_frame(path, [&](const CapturedFrame& frame) {
    ++frames;
    take(replay.judge(frame));
  });
  take(replay.finish());
  if (said.size() != frames || frames != learnt) std::abort();
  return 0;
}
