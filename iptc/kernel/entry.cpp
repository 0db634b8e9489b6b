#include "iptc/kernel/entry.h"

#include <algorithm>

namespace tails::iptc::kernel {
namespace {

std::optional<ExtensionView> view_extension(std::span<const std::byte> bytes) {
  if (bytes.size() < kExtensionHeader) return std::nullopt;
  const size_t size = load<uint16_t>(bytes, extension_at::kSize);
  if (size < kExtensionHeader || size > bytes.size()) return std::nullopt;
  ExtensionView view;
  view.whole = bytes.first(size);
  view.data = view.whole.subspan(kExtensionHeader);
  view.name = load_text(bytes, extension_at::kName, kExtensionNameSize);
  view.revision = load<uint8_t>(bytes, extension_at::kRevision);
  return view;
}

void clear_behind(std::span<std::byte> field, size_t keep) {
  if (keep < field.size()) std::ranges::fill(field.subspan(keep), std::byte{0});
}

void normalise_name(std::span<std::byte> extension) {
  const size_t length = load_text(extension, extension_at::kName, kExtensionNameSize).size();
  clear_behind(extension.subspan(extension_at::kName, kExtensionNameSize), length);
}

}  // namespace

std::optional<ExtensionView> next_match(std::span<const std::byte>& matches) {
  const auto match = view_extension(matches);
  if (match) matches = matches.subspan(match->whole.size());
  return match;
}

std::optional<EntryView> view_entry(std::span<const std::byte> bytes, Family family, Abi abi) {
  const EntryLayout at = entry_layout(family, abi);
  if (bytes.size() < at.size) return std::nullopt;
  const size_t target_offset = load<uint16_t>(bytes, at.target_offset);
  const size_t next_offset = load<uint16_t>(bytes, at.next_offset);
  if (target_offset < at.size || next_offset < target_offset + kExtensionHeader || next_offset > bytes.size() ||
      next_offset % abi.u64_alignment != 0) {
    return std::nullopt;
  }
  EntryView entry;
  entry.bytes = bytes.first(next_offset);
  entry.matches = entry.bytes.subspan(at.size, target_offset - at.size);
  auto matches = entry.matches;
  while (!matches.empty()) {
    if (!next_match(matches)) return std::nullopt;
  }
  auto target = view_extension(entry.bytes.subspan(target_offset));
  // A gap behind the target would be bytes that nobody reads: no tool leaves one. The kernel itself leaves padding
  // where a pointer is shorter than the alignment of 64-bit numbers (ARM of 32 bits): its own first tables say 36 for
  // what takes 40 (IPT_STANDARD_INIT of linux/netfilter_ipv4/ip_tables.h).
  if (!target) return std::nullopt;
  const bool may_pad = abi.pointer < abi.u64_alignment;
  const size_t size = target->whole.size();
  if ((may_pad ? xt_align(size, abi) : size) != next_offset - target_offset) return std::nullopt;
  target->whole = entry.bytes.subspan(target_offset);
  target->data = target->whole.subspan(kExtensionHeader);
  entry.target = *target;
  return entry;
}

bool is_unconditional(const EntryView& entry, Family family, Abi abi) {
  const auto header = entry.bytes.first(entry_layout(family, abi).header_end);
  return entry.matches.empty() && std::ranges::all_of(header, [](std::byte b) { return b == std::byte{0}; });
}

void normalise_entry(std::span<std::byte> bytes, Family family, Abi abi) {
  const EntryLayout at = entry_layout(family, abi);
  store<uint32_t>(bytes, at.nfcache, 0);
  clear_behind(bytes.first(at.counters), at.comefrom);  // IPv6 has padding there
  const size_t target = load<uint16_t>(bytes, at.target_offset);
  for (size_t offset = at.size; offset < target;) {
    const size_t size = load<uint16_t>(bytes, offset + extension_at::kSize);
    const auto match = bytes.subspan(offset, size);
    normalise_name(match);
    // Kernels before 4.11 hand out the running bucket (net/netfilter/xt_limit.c; x_tables.c xt_data_to_user).
    if (load_text(match, extension_at::kName, kExtensionNameSize) == "limit") {
      clear_behind(match.subspan(kExtensionHeader), payload::Limit::kPrivate);
    }
    offset += size;
  }
  const auto end = bytes.subspan(target);
  // Where the kernel counts without the padding (see view_entry), it is counted like everywhere else.
  store<uint16_t>(end, extension_at::kSize, static_cast<uint16_t>(end.size()));
  normalise_name(end);
  // Behind a standard target's number the kernel keeps whatever padding it was given.
  if (end[extension_at::kName] == std::byte{0} && end.size() == standard_target_size(abi)) {
    clear_behind(end.subspan(kExtensionHeader), sizeof(int32_t));
  }
}

}  // namespace tails::iptc::kernel
