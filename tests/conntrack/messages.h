#pragma once

#include <libmnl/libmnl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "net/address.h"

namespace tails::testing {

/// A netlink message that a test writes: its type and the struct behind the header, then attributes.
class WrittenMessage {
 public:
  template <class Fixed>
  WrittenMessage(uint16_t type, const Fixed& fixed) {
    nlmsghdr* const header = mnl_nlmsg_put_header(bytes_.data());
    header->nlmsg_type = type;
    std::memcpy(mnl_nlmsg_put_extra_header(header, sizeof fixed), &fixed, sizeof fixed);
  }

  WrittenMessage& put(uint16_t type, const IpAddress& address) {
    std::array<std::byte, 16> wire{};
    address.to_wire(wire.data());
    return put_bytes(type, {wire.data(), address_bits(address.family) / 8U});
  }
  WrittenMessage& put(uint16_t type, uint32_t number) {
    mnl_attr_put_u32(header(), type, number);
    return *this;
  }
  WrittenMessage& put(uint16_t type, const char* text) {
    mnl_attr_put_strz(header(), type, text);
    return *this;
  }
  WrittenMessage& put_bytes(uint16_t type, std::span<const std::byte> bytes) {
    mnl_attr_put(header(), type, bytes.size(), bytes.data());
    return *this;
  }
  /// As if only so many bytes had come behind the header.
  WrittenMessage& cut_to(uint32_t bytes) {
    header()->nlmsg_len = NLMSG_LENGTH(bytes);
    return *this;
  }

  [[nodiscard]] const nlmsghdr& get() const { return *reinterpret_cast<const nlmsghdr*>(bytes_.data()); }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_.data()); }
  alignas(nlmsghdr) std::array<std::byte, 512> bytes_{};
};

}  // namespace tails::testing
