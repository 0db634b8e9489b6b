#pragma once

#include <endian.h>
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tails::conntrack {

/// One netlink attribute (linux/netlink.h struct nlattr) inside a received message. A view: it lives as
/// long as the bytes it was read from. Numbers that are shorter than asked for read as zero.
class Attribute {
 public:
  constexpr Attribute() = default;
  constexpr Attribute(uint16_t type, std::span<const std::byte> payload) : type_(type), payload_(payload) {}

  /// Without the NLA_F_NESTED and NLA_F_NET_BYTEORDER bits.
  [[nodiscard]] constexpr uint16_t type() const { return type_; }
  [[nodiscard]] constexpr std::span<const std::byte> payload() const { return payload_; }
  [[nodiscard]] uint8_t u8() const { return load<uint8_t>(); }
  [[nodiscard]] uint32_t u32() const { return load<uint32_t>(); }  ///< The kernel's byte order: ours.
  [[nodiscard]] uint16_t be16() const { return be16toh(load<uint16_t>()); }
  [[nodiscard]] uint32_t be32() const { return be32toh(load<uint32_t>()); }

 private:
  template <class T>
  [[nodiscard]] T load() const {
    T value{};
    if (payload_.size() >= sizeof value) std::memcpy(&value, payload_.data(), sizeof value);
    return value;
  }

  uint16_t type_ = 0;
  std::span<const std::byte> payload_;
};

/// NLA_TYPE_MASK without its sign.
inline constexpr unsigned kTypeMask = 0x3FFF;

/// The attributes in a run of bytes, for a range-based for. Stops at the first one that is cut off.
/// Inline and without calls, because a dump of a million flows reads twenty million of them; libmnl's
/// walk costs several library calls each.
class Attributes {
 public:
  class Iterator {
   public:
    explicit Iterator(std::span<const std::byte> rest) : rest_(rest) { read(); }
    Attribute operator*() const { return current_; }
    Iterator& operator++() {
      rest_ = rest_.subspan(step_);
      read();
      return *this;
    }
    bool operator!=(std::nullptr_t) const { return step_ != 0; }

   private:
    void read() {
      step_ = 0;
      nlattr header{};
      if (rest_.size() < sizeof header) return;
      std::memcpy(&header, rest_.data(), sizeof header);
      if (header.nla_len < sizeof header || header.nla_len > rest_.size()) return;
      current_ = Attribute(static_cast<uint16_t>(header.nla_type & kTypeMask),
                           rest_.subspan(sizeof header, size_t{header.nla_len} - sizeof header));
      const size_t aligned = (size_t{header.nla_len} + NLA_ALIGNTO - 1) & ~size_t{NLA_ALIGNTO - 1};
      step_ = aligned < rest_.size() ? aligned : rest_.size();
    }

    std::span<const std::byte> rest_;
    size_t step_ = 0;  ///< Bytes to the next one; 0 at the end.
    Attribute current_;
  };

  explicit Attributes(std::span<const std::byte> bytes) : bytes_(bytes) {}
  explicit Attributes(const Attribute& nest) : bytes_(nest.payload()) {}
  [[nodiscard]] Iterator begin() const { return Iterator(bytes_); }
  [[nodiscard]] static std::nullptr_t end() { return nullptr; }

 private:
  std::span<const std::byte> bytes_;
};

/// What follows the fixed part of a message: `fixed` is that part's size, aligned by 4 as the kernel does.
inline std::span<const std::byte> message_payload(const nlmsghdr& message, size_t fixed) {
  const size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(fixed);
  if (message.nlmsg_len <= skip) return {};
  return {reinterpret_cast<const std::byte*>(&message) + skip, message.nlmsg_len - skip};
}

}  // namespace tails::conntrack
