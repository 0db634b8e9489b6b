#pragma once

#include <charconv>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

namespace tails::iptc {

/// Takes words, lines and bytes off the front of a file's text, for the files that we keep beside the kernel. Any
/// failure sticks: whoever reads asks `is_sound` before it believes, and in every loop whose end the text names. Never
/// makes room for more than there is. What comes out are views into the text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] bool is_sound() const { return sound_; }
  [[nodiscard]] bool starts_with(char c) const { return rest_.starts_with(c); }
  void fail() { sound_ = false; }

  /// Up to `end`, which is taken off as well.
  std::string_view until(char end) {
    const size_t at = rest_.find(end);
    if (at == std::string_view::npos) {
      sound_ = false;
      return std::exchange(rest_, {});
    }
    const auto word = rest_.substr(0, at);
    rest_.remove_prefix(at + 1);
    return word;
  }
  /// The whole word up to `end` as a number; 0 where it is none.
  template <class Number>
  Number number(char end, int base = 10) {
    const auto word = until(end);
    Number value = 0;
    const auto [last, error] = std::from_chars(word.data(), word.data() + word.size(), value, base);
    if (word.empty() || error != std::errc{} || last != word.data() + word.size()) sound_ = false;
    return value;
  }
  void expect(std::string_view text) {
    if (!rest_.starts_with(text)) {
      sound_ = false;
      return;
    }
    rest_.remove_prefix(text.size());
  }
  std::string_view bytes(size_t count) {
    if (count > rest_.size()) {
      sound_ = false;
      return {};
    }
    const auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

 private:
  std::string_view rest_;
  bool sound_ = true;
};

}  // namespace tails::iptc
