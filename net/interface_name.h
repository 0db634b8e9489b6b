#pragma once

#include <array>
#include <compare>
#include <optional>
#include <string_view>

namespace tails {

/// The name of a network interface: 1 to 15 bytes, no '/', no white space (linux/if.h IFNAMSIZ,
/// dev_valid_name in net/core/dev.c); empty only when default-constructed. Inline, no allocation.
class InterfaceName {
 public:
  static constexpr size_t kMaxLength = 15;

  constexpr InterfaceName() = default;
  /// Nullopt when empty, longer than 15 bytes, "." or "..", or with '/', ':' , white space or a zero byte.
  static constexpr std::optional<InterfaceName> make(std::string_view text) {
    if (text.empty() || text.size() > kMaxLength || text == "." || text == "..") return std::nullopt;
    InterfaceName name;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '/' || c == ':' || c == '\0' || c == ' ' || (c >= '\t' && c <= '\r')) return std::nullopt;
      name.bytes_[i] = c;
    }
    return name;
  }

  [[nodiscard]] constexpr std::string_view view() const { return {bytes_.data()}; }
  [[nodiscard]] constexpr bool empty() const { return bytes_[0] == '\0'; }
  [[nodiscard]] constexpr bool is_loopback() const { return view() == "lo"; }

  friend constexpr auto operator<=>(const InterfaceName&, const InterfaceName&) = default;

 private:
  std::array<char, kMaxLength + 1> bytes_{};
};

inline constexpr InterfaceName kLoopbackInterface = *InterfaceName::make("lo");

}  // namespace tails
