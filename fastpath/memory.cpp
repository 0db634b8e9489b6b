#include "fastpath/memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <new>
#include <string>

namespace tails::fastpath {

Result<Memory> Memory::map(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  const size_t size = (bytes + kHuge - 1) / kHuge * kHuge;
  // Explicit huge pages first; they are there only where someone set them aside.
  void* data =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
  if (data != MAP_FAILED) return Memory(data, bytes, [size](void* p) { munmap(p, size); });

  // A huge page more, so that an aligned part can be asked for as transparent huge pages.
  const size_t whole = size + kHuge;
  data = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    const int reason = errno;
    return fail(ErrorKind::kRefused, "cannot get " + std::to_string(size >> 20) + " MiB of memory",
                "Fewer flows need less.", reason);
  }
  const auto address = reinterpret_cast<uintptr_t>(data);
  const uintptr_t aligned = (address + kHuge - 1) / kHuge * kHuge;
  void* begin = reinterpret_cast<void*>(aligned);
  madvise(begin, size, MADV_HUGEPAGE);
  return Memory(begin, bytes, [data, whole](void*) { munmap(data, whole); });
}

void* allocate_in_huge_pages(size_t bytes) {
  constexpr size_t kHuge = size_t{2} << 20;
  const size_t alignment = bytes < kHuge ? 64 : kHuge;
  void* data = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  if (bytes >= kHuge) madvise(data, bytes / kHuge * kHuge, MADV_HUGEPAGE);
  return data;
}

void free_in_huge_pages(void* data) noexcept { std::free(data); }

}  // namespace tails::fastpath
