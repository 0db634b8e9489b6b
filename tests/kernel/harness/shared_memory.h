#pragma once

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <type_traits>

namespace tails::testbed {

/// A `Value` that this process shares with the processes that it forks. Its members are atomics: nothing else orders
/// what one process writes and another reads.
template <typename Value>
class SharedMemory {
  static_assert(std::is_trivially_destructible_v<Value>, "each process would destroy it");

 public:
  SharedMemory() {
    void* const place = ::mmap(nullptr, sizeof(Value), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) std::abort();
    value_ = new (place) Value;
  }
  ~SharedMemory() { ::munmap(value_, sizeof(Value)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  Value* operator->() const { return value_; }
  Value& operator*() const { return *value_; }

 private:
  Value* value_;
};

}  // namespace tails::testbed
