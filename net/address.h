#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tails {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

/// Number of address bits: 32 or 128.
constexpr unsigned address_bits(Family family) { return family == Family::kIpv4 ? 32 : 128; }

/// An IPv4 or IPv6 address, host byte order: IPv4 is the low 32 bits of `low`, the rest zero.
/// One shape for both families, so that masks, prefixes and decision diagrams need one code path.
struct IpAddress {
  Family family = Family::kIpv4;
  uint64_t high = 0;
  uint64_t low = 0;

  static constexpr IpAddress v4(uint32_t bits) { return {Family::kIpv4, 0, bits}; }
  static constexpr IpAddress v6(uint64_t high, uint64_t low) { return {Family::kIpv6, high, low}; }
  /// Four decimal parts, most significant first: `v4(127, 0, 0, 1)`.
  static constexpr IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    return v4(uint32_t{a} << 24 | uint32_t{b} << 16 | uint32_t{c} << 8 | uint32_t{d});
  }
  /// `network_order`: 4 or 16 bytes as on the wire.
  static IpAddress from_wire(Family family, const void* network_order);
  /// Writes 4 or 16 bytes in network order.
  void to_wire(void* network_order) const;
  /// Textual form of inet_pton(3). Nullopt for anything else, zone indices included.
  static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr uint32_t v4_bits() const { return static_cast<uint32_t>(low); }
  /// Bit `index` counted from the most significant of the family's 32 or 128 bits.
  [[nodiscard]] constexpr bool bit(unsigned index) const {
    const unsigned from_low = address_bits(family) - 1 - index;
    return from_low < 64 ? (low >> from_low & 1) != 0 : (high >> (from_low - 64) & 1) != 0;
  }

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;
};

inline constexpr IpAddress kLoopbackV4 = IpAddress::v4(127, 0, 0, 1);
inline constexpr IpAddress kLoopbackV6 = IpAddress::v6(0, 1);

/// "192.0.2.1", "2001:db8::1" (RFC 5952 as inet_ntop(3) writes it).
std::string to_string(const IpAddress& address);

/// An address mask with `length` leading ones, 0..32 or 0..128.
constexpr IpAddress mask_of(Family family, unsigned length) {
  const unsigned zeros = address_bits(family) - length;
  const uint64_t low_bits = zeros >= 64 ? 0 : ~uint64_t{0} << zeros;
  if (family == Family::kIpv4) return IpAddress::v4(static_cast<uint32_t>(low_bits));
  const uint64_t high_bits = zeros <= 64 ? ~uint64_t{0} : (zeros >= 128 ? 0 : ~uint64_t{0} << (zeros - 64));
  return IpAddress::v6(high_bits, low_bits);
}

constexpr IpAddress operator&(const IpAddress& a, const IpAddress& b) {
  return {a.family, a.high & b.high, a.low & b.low};
}

/// Number of leading ones where `mask` is a prefix mask, nullopt where it has holes.
std::optional<unsigned> prefix_length(const IpAddress& mask);

/// A network: host bits zero, length 0..32 or 0..128.
class Prefix {
 public:
  constexpr Prefix() = default;
  /// Clears the host bits. Nullopt when `length` exceeds the family's.
  static constexpr std::optional<Prefix> make(const IpAddress& address, unsigned length) {
    if (length > address_bits(address.family)) return std::nullopt;
    return Prefix(address & mask_of(address.family, length), length);
  }
  /// One address as a network.
  static constexpr Prefix host(const IpAddress& address) { return {address, address_bits(address.family)}; }
  /// "10.0.0.0/8", or one address. Nullopt when malformed or when host bits are set.
  static std::optional<Prefix> parse(std::string_view text);

  [[nodiscard]] constexpr const IpAddress& address() const { return address_; }
  [[nodiscard]] constexpr unsigned length() const { return length_; }
  [[nodiscard]] constexpr Family family() const { return address_.family; }
  [[nodiscard]] constexpr IpAddress mask() const { return mask_of(address_.family, length_); }
  /// False for an address of the other family.
  [[nodiscard]] constexpr bool contains(const IpAddress& address) const {
    return address.family == address_.family && (address & mask()) == address_;
  }
  [[nodiscard]] constexpr bool overlaps(const Prefix& other) const {
    return length_ <= other.length_ ? contains(other.address_) : other.contains(address_);
  }

  friend constexpr auto operator<=>(const Prefix&, const Prefix&) = default;

 private:
  constexpr Prefix(const IpAddress& address, unsigned length) : address_(address), length_(length) {}
  IpAddress address_;
  unsigned length_ = 0;
};

/// "10.0.0.0/8".
std::string to_string(const Prefix& prefix);

inline constexpr Prefix kLoopbackNetV4 = *Prefix::make(IpAddress::v4(127, 0, 0, 0), 8);

}  // namespace tails
