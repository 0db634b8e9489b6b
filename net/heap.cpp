#include "net/heap.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace tails {
namespace {

constexpr int kMiB = 1 << 20;
constexpr int kNever = 1 << 30;

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): the heap is one for the process, too
bool is_set_up = false;

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

/// A hundred thousand services take thirty thousand small pages, each of them an exception when it is met for the first
/// time: a quarter of a microsecond on bare metal, up to twelve in a virtual machine.
void expect_heap(size_t bytes) {
  constexpr uintptr_t kLargePage = 2UL * kMiB;
  if (!is_set_up || bytes < 2 * kLargePage) return;
  void* const next = std::malloc(bytes);
  if (next == nullptr) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(next) + kLargePage - 1) / kLargePage * kLargePage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(next) + bytes) / kLargePage * kLargePage;
  // A wish: where the kernel has no large pages at hand, or is built without, it takes small ones.
  if (begin < end) static_cast<void>(::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
  std::free(next);  // never written to; from here on it is the heap's free end
}

void expect_piece(size_t bytes) {
  // What lies free at the heap's end stays there: that is where the piece will be.
  if (is_set_up && bytes > kMiB) malloc_trim(kNever);
  expect_heap(bytes);
}

}  // namespace tails
