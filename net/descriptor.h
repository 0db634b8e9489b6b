#pragma once

#include <unistd.h>

#include <utility>

namespace tails {

/// An open file descriptor, closed at the end. Move-only; -1 when empty.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      value_ = other.release();
    }
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }

  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] bool is_open() const { return value_ >= 0; }
  /// Gives it away: nobody closes it any more.
  int release() { return std::exchange(value_, -1); }
  void close() {
    if (is_open()) ::close(release());
  }

 private:
  int value_ = -1;
};

}  // namespace tails
