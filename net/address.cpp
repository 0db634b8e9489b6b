#include "net/address.h"

#include <arpa/inet.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstring>

namespace tails {
namespace {

uint64_t load_big_endian(const unsigned char* bytes, unsigned count) {
  uint64_t value = 0;
  for (unsigned i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

void store_big_endian(unsigned char* bytes, unsigned count, uint64_t value) {
  for (unsigned i = count; i > 0; --i, value >>= 8) bytes[i - 1] = static_cast<unsigned char>(value);
}

}  // namespace

IpAddress IpAddress::from_wire(Family family, const void* network_order) {
  const auto* bytes = static_cast<const unsigned char*>(network_order);
  if (family == Family::kIpv4) return {family, 0, load_big_endian(bytes, 4)};
  return {family, load_big_endian(bytes, 8), load_big_endian(bytes + 8, 8)};
}

void IpAddress::to_wire(void* network_order) const {
  auto* bytes = static_cast<unsigned char*>(network_order);
  if (family == Family::kIpv4) {
    store_big_endian(bytes, 4, low);
  } else {
    store_big_endian(bytes, 8, high);
    store_big_endian(bytes + 8, 8, low);
  }
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> zero_terminated{};
  if (text.size() >= zero_terminated.size() || text.find('\0') != std::string_view::npos) return std::nullopt;
  std::memcpy(zero_terminated.data(), text.data(), text.size());
  std::array<unsigned char, 16> bytes{};
  if (inet_pton(AF_INET, zero_terminated.data(), bytes.data()) == 1) return from_wire(Family::kIpv4, bytes.data());
  if (inet_pton(AF_INET6, zero_terminated.data(), bytes.data()) == 1) return from_wire(Family::kIpv6, bytes.data());
  return std::nullopt;
}

std::string to_string(const IpAddress& address) {
  std::array<unsigned char, 16> bytes{};
  address.to_wire(bytes.data());
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.family == Family::kIpv4 ? AF_INET : AF_INET6, bytes.data(), text.data(), text.size());
  return text.data();
}

std::optional<unsigned> prefix_length(const IpAddress& mask) {
  const auto ones = static_cast<unsigned>(std::popcount(mask.high) + std::popcount(mask.low));
  if (ones > address_bits(mask.family) || mask_of(mask.family, ones) != mask) return std::nullopt;
  return ones;
}

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == std::string_view::npos) return host(*address);
  const std::string_view digits = text.substr(slash + 1);
  unsigned length = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  const auto prefix = make(*address, length);
  if (!prefix || prefix->address() != *address) return std::nullopt;
  return prefix;
}

std::string to_string(const Prefix& prefix) {
  return to_string(prefix.address()) + "/" + std::to_string(prefix.length());
}

}  // namespace tails
