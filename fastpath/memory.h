#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "net/result.h"

namespace tails::fastpath {

/// A block of zeroed memory, aligned to 64 bytes or more, with the way to give it back. Moves only.
class Memory {
 public:
  using Free = std::function<void(void*)>;

  Memory(void* data, size_t bytes, Free free) : data_(data, std::move(free)), bytes_(bytes) {}

  /// From the kernel, in huge pages where it has some to give. Fails with kRefused when there is none.
  static Result<Memory> map(size_t bytes);

  [[nodiscard]] void* data() const { return data_.get(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  std::unique_ptr<void, Free> data_;
  size_t bytes_;
};

/// Aligned to 64 bytes or more. Throws std::bad_alloc, as containers want it.
void* allocate_in_huge_pages(size_t bytes);
void free_in_huge_pages(void* data) noexcept;

/// Memory for containers, in transparent huge pages where the kernel has them: what is read at random, or in long rows,
/// then misses fewer translations of addresses. For large things: smaller ones than a huge page come from the heap.
template <class T>
struct HugePages {
  using value_type = T;

  HugePages() = default;
  template <class U>
  HugePages(const HugePages<U>&) {}  // NOLINT(google-explicit-constructor): containers ask for it

  T* allocate(size_t count) { return static_cast<T*>(allocate_in_huge_pages(count * sizeof(T))); }
  void deallocate(T* data, size_t) { free_in_huge_pages(data); }
  friend bool operator==(const HugePages&, const HugePages&) { return true; }
};

}  // namespace tails::fastpath
