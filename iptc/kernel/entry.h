#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "iptc/kernel/layout.h"

/// Reading and writing one entry's bytes by layout.h. Nothing here reads past the span it is given.
namespace tails::iptc::kernel {

/// A number in the machine's byte order at `offset`; the caller knows that it is inside.
template <class Number>
Number load(std::span<const std::byte> bytes, size_t offset) {
  Number number;
  std::memcpy(&number, bytes.subspan(offset, sizeof number).data(), sizeof number);
  return number;
}

template <class Number>
void store(std::span<std::byte> bytes, size_t offset, Number number) {
  std::memcpy(bytes.subspan(offset, sizeof number).data(), &number, sizeof number);
}

/// A zero-terminated text of at most `size` bytes at `offset`.
inline std::string_view load_text(std::span<const std::byte> bytes, size_t offset, size_t size) {
  const auto field = bytes.subspan(offset, size);
  const std::string_view all(reinterpret_cast<const char*>(field.data()), field.size());
  return all.substr(0, all.find('\0'));
}

/// Writes `text` and fills with zeros up to `size`. `text` is at most `size` bytes long.
inline void store_text(std::span<std::byte> bytes, size_t offset, size_t size, std::string_view text) {
  const auto field = bytes.subspan(offset, size);
  std::memset(field.data(), 0, size);
  if (!text.empty()) std::memcpy(field.data(), text.data(), text.size());
}

/// One match or target: header and payload.
struct ExtensionView {
  std::string_view name;
  uint8_t revision = 0;
  std::span<const std::byte> data;   ///< Behind the header, padding included.
  std::span<const std::byte> whole;  ///< With the header.
};

/// One entry whose parts were found to lie inside it.
struct EntryView {
  std::span<const std::byte> bytes;  ///< The whole entry.
  std::span<const std::byte> matches;
  ExtensionView target;
};

/// Looks at the entry at the front of `bytes`. Nullopt: its sizes do not fit each other, or it ends past `bytes`.
/// The matches are checked as well: `next_match` will not fail on them.
std::optional<EntryView> view_entry(std::span<const std::byte> bytes, Family family, Abi abi = kNativeAbi);

/// Takes the first match off `matches`. Nullopt when none is left or its size does not fit.
std::optional<ExtensionView> next_match(std::span<const std::byte>& matches);

/// Whether the entry tests nothing: header zero and no match.
bool is_unconditional(const EntryView& entry, Family family, Abi abi = kNativeAbi);

/// Zeroes what only the kernel writes, or nobody reads: comefrom, nfcache, bytes behind names, private tails of
/// payloads, a standard target's padding. A target's size counts the padding behind it. `bytes` is one whole entry that
/// `view_entry` accepts.
void normalise_entry(std::span<std::byte> bytes, Family family, Abi abi = kNativeAbi);

}  // namespace tails::iptc::kernel
