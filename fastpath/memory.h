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

}  // namespace tails::fastpath
