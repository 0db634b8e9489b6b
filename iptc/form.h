#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <span>
#include <vector>

#include "iptc/kernel/entry.h"
#include "iptc/kernel/extensions.h"

namespace tails::iptc {

using kernel::Abi;
using kernel::ExtensionId;

/// The revisions that can say a match or a target, the best one first. Empty: it cannot be said.
/// The best is the highest: iptables-save picks the highest revision that it and the kernel share and prints any other
/// as "[unsupported revision]", which iptables-restore refuses. The lower ones are for kernels that have no more.
class Forms {
 public:
  static constexpr size_t kMax = 4;

  constexpr Forms() = default;
  constexpr Forms(std::initializer_list<ExtensionId> ids) {
    for (const ExtensionId id : ids) add(id);
  }
  constexpr void add(ExtensionId id) {
    assert(count_ < kMax);
    ids_[count_++] = id;
  }
  [[nodiscard]] constexpr auto begin() const { return ids_.begin(); }
  [[nodiscard]] constexpr auto end() const { return ids_.begin() + count_; }
  [[nodiscard]] constexpr bool empty() const { return count_ == 0; }

 private:
  std::array<ExtensionId, kMax> ids_{};
  size_t count_ = 0;
};

/// Size of an extension's payload without padding.
constexpr size_t payload_size(ExtensionId id, Abi abi) {
  return id == ExtensionId::kLimit0 ? kernel::payload::Limit::size(abi) : kernel::extension(id).size;
}

/// Appends the header of an extension and a zeroed payload of `size` bytes, padded. Returns the unpadded payload, valid
/// until `out` grows again.
inline std::span<std::byte> append_extension(std::vector<std::byte>& out, std::string_view name, uint8_t revision,
                                             size_t size, Abi abi) {
  namespace at = kernel::extension_at;
  const size_t begin = out.size();
  const size_t total = kernel::xt_align(kernel::kExtensionHeader + size, abi);
  out.resize(begin + total);
  const auto whole = std::span(out).subspan(begin);
  kernel::store<uint16_t>(whole, at::kSize, static_cast<uint16_t>(total));
  kernel::store_text(whole, at::kName, kernel::kExtensionNameSize, name);
  kernel::store<uint8_t>(whole, at::kRevision, revision);
  return whole.subspan(kernel::kExtensionHeader, size);
}

inline std::span<std::byte> append_extension(std::vector<std::byte>& out, ExtensionId id, Abi abi) {
  const kernel::Extension& extension = kernel::extension(id);
  return append_extension(out, extension.name, extension.revision, payload_size(id, abi), abi);
}

/// Port numbers of NAT stand in network order (linux/netfilter/nf_conntrack_tuple_common.h).
inline void store_be16(std::span<std::byte> bytes, size_t offset, uint16_t number) {
  bytes[offset] = static_cast<std::byte>(number >> 8);
  bytes[offset + 1] = static_cast<std::byte>(number & 0xFF);
}
inline uint16_t load_be16(std::span<const std::byte> bytes, size_t offset) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(bytes[offset]) << 8 |
                               std::to_integer<unsigned>(bytes[offset + 1]));
}

}  // namespace tails::iptc
