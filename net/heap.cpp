#include "net/heap.h"

#include <malloc.h>
#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <memory>

namespace tails {
namespace {

constexpr int kMiB = 1 << 20;
constexpr int kNever = 1 << 30;

// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables): the heap is one for the process, too
bool is_set_up = false;
bool are_large_pages_dear = false;  ///< They once were.
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)

using Clock = std::chrono::steady_clock;

constexpr size_t kLargePage = 2UL * kMiB;
constexpr size_t kSmallPage = 4096;

/// Writes to the page, which the kernel then must have.
void touch(volatile char* page) { *page = 0; }

/// What the first use of one small page costs here and now.
Clock::duration cost_of_small_pages() {
  constexpr size_t kCount = 16;
  void* const sample = ::mmap(nullptr, kCount * kSmallPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (sample == MAP_FAILED) return Clock::duration::max() / kLargePage;
  const Clock::time_point start = Clock::now();
  for (size_t i = 0; i < kCount; ++i) touch(static_cast<char*>(sample) + i * kSmallPage);
  const Clock::duration cost = (Clock::now() - start) / kCount;
  ::munmap(sample, kCount * kSmallPage);
  return cost;
}

/// A wish: where the kernel has no large pages at hand, or is built without, it takes small ones.
void wish_for_large_pages(char* begin, size_t bytes) { static_cast<void>(::madvise(begin, bytes, MADV_HUGEPAGE)); }

/// Large pages for the `bytes` from `begin`, both multiples of theirs; or as far as one costs at most twice what small
/// ones do. A hundred thousand services take thirty thousand small pages, each of them an exception when it is met for
/// the first time: a quarter of a microsecond on bare metal, 1.5 to twelve in a virtual machine. A large one costs 0.2
/// ms, but 3 to 5 where the machine below has taken back what lay free: several times as much as 512 small ones, of
/// which enough lie about. One such page tells.
void use_large_pages(char* begin, size_t bytes) {
  const Clock::duration as_small_ones = cost_of_small_pages() * (kLargePage / kSmallPage);
  // The first half will be used, whatever the rest will.
  for (size_t at = 0; at < bytes / 2 && !are_large_pages_dear; at += kLargePage) {
    wish_for_large_pages(begin + at, kLargePage);
    const Clock::time_point start = Clock::now();
    touch(begin + at);
    are_large_pages_dear = Clock::now() - start > 2 * as_small_ones;
  }
  if (!are_large_pages_dear) wish_for_large_pages(begin, bytes);
}

}  // namespace

/// One heap, whose pages each next step uses again, also for what is large: of a policy of a hundred thousand services
/// a fifth of the time would go to new pages. What is small is not joined with its neighbours as soon as it is free, as
/// the next piece is as small: a twentieth.
void set_up_heap() {
  // NOLINTBEGIN(concurrency-mt-unsafe): before there are threads
  mallopt(M_MMAP_THRESHOLD, kNever);
  mallopt(M_TRIM_THRESHOLD, kNever);
  mallopt(M_TOP_PAD, kMiB);
  // 0 of another malloc, which has no such settings, and no such heap.
  is_set_up = mallopt(M_MXFAST, 160) != 0;
  // NOLINTEND(concurrency-mt-unsafe)
}

void expect_heap(size_t bytes) {
  if (!is_set_up || bytes < 2 * kLargePage) return;
  // NOLINTBEGIN(cppcoreguidelines-no-malloc, cppcoreguidelines-owning-memory): where malloc would put it is the
  // question
  void* const next = std::malloc(bytes);
  if (next == nullptr) return;
  void* begin = next;
  if (std::align(kLargePage, kLargePage, begin, bytes) != nullptr) {
    use_large_pages(static_cast<char*>(begin), bytes / kLargePage * kLargePage);
  }
  std::free(next);  // hardly written to; from here on it is the heap's free end
  // NOLINTEND(cppcoreguidelines-no-malloc, cppcoreguidelines-owning-memory)
}

void expect_piece(size_t bytes) {
  // What lies free at the heap's end stays there: that is where the piece will be.
  if (is_set_up && bytes > kMiB) malloc_trim(kNever);
  expect_heap(bytes);
}

}  // namespace tails
