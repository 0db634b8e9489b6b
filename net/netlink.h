#pragma once

#include <endian.h>
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

/// Reading what comes over netlink (linux/netlink.h), never outside the bytes that came: whoever reads a message, a
/// number or a name here need not trust the lengths in it. Writing is libmnl's business.
namespace tails::netlink {

/// One attribute (struct nlattr) inside a received message. A view: it lives as
/// long as the bytes it was read from. Numbers that are shorter than asked for read as zero.
class Attribute {
 public:
  constexpr Attribute() = default;
  constexpr Attribute(uint16_t type, std::span<const std::byte> payload) : type_(type), payload_(payload) {}

  /// Without the NLA_F_NESTED and NLA_F_NET_BYTEORDER bits.
  [[nodiscard]] constexpr uint16_t type() const { return type_; }
  [[nodiscard]] constexpr std::span<const std::byte> payload() const { return payload_; }
  [[nodiscard]] uint8_t u8() const { return load<uint8_t>(); }
  // The kernel's byte order: ours.
  [[nodiscard]] uint32_t u32() const { return load<uint32_t>(); }
  [[nodiscard]] uint64_t u64() const { return load<uint64_t>(); }
  [[nodiscard]] uint16_t be16() const { return be16toh(load<uint16_t>()); }
  [[nodiscard]] uint32_t be32() const { return be32toh(load<uint32_t>()); }
  /// Up to the first zero byte, or all of it where there is none.
  [[nodiscard]] std::string_view text() const {
    if (payload_.empty()) return {};
    const std::string_view whole(reinterpret_cast<const char*>(payload_.data()), payload_.size());
    return whole.substr(0, whole.find('\0'));
  }

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

/// The last attribute of that type, as the kernel counts (nla_parse); nullopt where there is none.
inline std::optional<Attribute> find(Attributes attributes, uint16_t type) {
  std::optional<Attribute> found;
  for (const Attribute attribute : attributes) {
    if (attribute.type() == type) found = attribute;
  }
  return found;
}

/// The struct that follows the header (struct nfgenmsg, struct rtmsg …); nullopt where the message is too short for it.
template <class T>
std::optional<T> fixed_part(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(T))) return std::nullopt;
  T fixed{};
  std::memcpy(&fixed, reinterpret_cast<const std::byte*>(&message) + NLMSG_HDRLEN, sizeof fixed);
  return fixed;
}

/// Calls `visit` for each whole message in `datagram`, which is aligned as nlmsghdr is.
template <class Visit>
void for_each_message(std::span<const std::byte> datagram, Visit visit) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto& message = *reinterpret_cast<const nlmsghdr*>(datagram.data());
    if (message.nlmsg_len < sizeof(nlmsghdr) || message.nlmsg_len > datagram.size()) return;
    visit(message);
    const size_t step = NLMSG_ALIGN(message.nlmsg_len);
    if (step >= datagram.size()) return;
    datagram = datagram.subspan(step);
  }
}

}  // namespace tails::netlink
