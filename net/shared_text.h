#pragma once

#include <atomic>
#include <compare>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace tails {

/// Text that never changes and that its copies share: eight bytes each, and one allocation for all of them (none where
/// it is empty). For what is said once and kept a hundred thousand times. Copies may be made and dropped by several
/// threads. Under 4 GiB.
class SharedText {
 public:
  constexpr SharedText() noexcept = default;
  // NOLINTBEGIN(google-explicit-constructor): it stands where a string stood
  SharedText(std::string_view text) : head_(text.empty() ? nullptr : make(text)) {}
  SharedText(const std::string& text) : SharedText(std::string_view(text)) {}
  SharedText(const char* text) : SharedText(std::string_view(text)) {}
  operator std::string_view() const noexcept { return view(); }
  // NOLINTEND(google-explicit-constructor)
  SharedText(const SharedText& other) noexcept : head_(other.head_) {
    if (head_ != nullptr) head_->owners.fetch_add(1, std::memory_order_relaxed);
  }
  SharedText(SharedText&& other) noexcept : head_(std::exchange(other.head_, nullptr)) {}
  SharedText& operator=(SharedText other) noexcept {
    std::swap(head_, other.head_);
    return *this;
  }
  ~SharedText() {
    if (head_ != nullptr && head_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) ::operator delete(head_);
  }

  [[nodiscard]] std::string_view view() const noexcept {
    return head_ == nullptr ? std::string_view{} : std::string_view(text_of(head_), head_->size);
  }
  [[nodiscard]] std::string str() const { return std::string(view()); }
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] size_t size() const noexcept { return head_ == nullptr ? 0 : head_->size; }

  friend bool operator==(const SharedText& a, const SharedText& b) noexcept {
    return a.head_ == b.head_ || a.view() == b.view();
  }
  friend std::strong_ordering operator<=>(const SharedText& a, const SharedText& b) noexcept {
    return a.head_ == b.head_ ? std::strong_ordering::equal : a.view() <=> b.view();
  }
  /// A template, so that nothing is converted on the way: with std::string either operator would do.
  template <class Text>
  requires std::convertible_to<const Text&, std::string_view> &&(!std::same_as<Text, SharedText>)friend bool operator==(
      const SharedText& a, const Text& b) noexcept {
    return a.view() == std::string_view(b);
  }

 private:
  /// The text follows.
  struct Head {
    std::atomic<uint32_t> owners;
    uint32_t size;
  };
  static char* text_of(Head* head) noexcept { return reinterpret_cast<char*>(head + 1); }

  static Head* make(std::string_view text) {
    // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): the count owns it
    auto* const head = new (::operator new(sizeof(Head) + text.size())) Head{1, static_cast<uint32_t>(text.size())};
    std::memcpy(text_of(head), text.data(), text.size());
    return head;
  }

  Head* head_ = nullptr;
};

}  // namespace tails
