// Any bytes, as a table of the kernel's: decoded or refused, never worse. What was decoded is encoded to the same
// bytes.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/kernel/entry.h"
#include "iptc/kernel/image.h"
#include "iptc/rule_codec.h"
#include "ruleset/text_writer.h"

namespace {

using namespace tails;
using namespace tails::iptc;

constexpr std::array<const char*, 8> kTables = {"filter", "nat", "mangle", "raw", "security", "broute", "", "FILTER"};
constexpr std::array<kernel::Abi, 4> kAbis = {kernel::kAmd64, kernel::kI386, kernel::kArm32, kernel::kAmd64};

/// The front of an input; see make_decoder_seeds.
struct Head {
  static constexpr size_t kSize = 2 + 4 * kernel::kHooks;

  Family family = Family::kIpv4;
  kernel::Abi abi;
  const char* table = "";
  bool is_bare = false;  ///< No table: entries of one chain, as they come.
  kernel::Image image;

  explicit Head(std::span<const uint8_t> bytes) {
    family = (bytes[0] & 1) == 0 ? Family::kIpv4 : Family::kIpv6;
    abi = kAbis[bytes[0] >> 1 & 3];
    table = kTables[bytes[0] >> 3 & 7];
    is_bare = (bytes[0] & 0x80) != 0;
    const auto number = [&](size_t at) { return static_cast<uint32_t>(bytes[at] | bytes[at + 1] << 8); };
    image.family = family;
    image.table = table;
    image.valid_hooks = bytes[1] & 0x1F;
    for (size_t hook = 0; hook < kernel::kHooks; ++hook) {
      image.hook_entry[hook] = number(2 + 2 * hook);
      image.underflow[hook] = number(2 + 2 * kernel::kHooks + 2 * hook);
    }
    const auto rest = std::as_bytes(bytes.subspan(kSize));
    image.entries.assign(rest.begin(), rest.end());
  }
};

/// A jump to nowhere in particular: it has no name, and so cannot be written back (RawTable, 2).
bool is_raw_jump(const kernel::ExtensionView& target) {
  return target.name.empty() && std::ranges::any_of(target.data, [](std::byte b) { return b != std::byte{0}; });
}

[[noreturn]] void show_and_abort(std::span<const std::byte> wanted, std::span<const std::byte> got) {
  for (const auto bytes : {wanted, got}) {
    for (const std::byte byte : bytes) std::fprintf(stderr, "%02x", static_cast<unsigned>(byte));
    std::fputc('\n', stderr);
  }
  std::abort();
}

void expect_same_bytes(std::span<const std::byte> entries, Family family, kernel::Abi abi) {
  while (!entries.empty()) {
    const auto entry = kernel::view_entry(entries, family, abi);
    if (!entry) std::abort();
    const DecodedRule decoded = read_rule(*entry, family, abi);
    if (ruleset::write_rule(family, "CHAIN", decoded.rule).empty()) std::abort();
    if (!is_raw_jump(entry->target)) {
      std::vector<std::byte> again;
      if (!write_rule(decoded.rule, family, decoded.form, abi, again)) std::abort();
      if (!std::ranges::equal(again, entry->bytes)) show_and_abort(entry->bytes, again);
    }
    entries = entries.subspan(entry->bytes.size());
  }
}

/// As many whole entries as stand at the front, made what a RawTable would have.
size_t normalise(std::span<std::byte> entries, Family family, kernel::Abi abi) {
  size_t length = 0;
  while (length < entries.size()) {
    const auto entry = kernel::view_entry(entries.subspan(length), family, abi);
    if (!entry || entry->bytes.empty()) break;
    const size_t size = entry->bytes.size();
    kernel::normalise_entry(entries.subspan(length, size), family, abi);
    length += size;
  }
  return length;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < Head::kSize) return 0;
  Head head({data, size});
  if (head.is_bare) {
    const size_t length = normalise(head.image.entries, head.family, head.abi);
    expect_same_bytes(std::span(head.image.entries).first(length), head.family, head.abi);
    return 0;
  }
  const auto raw = kernel::from_image(std::move(head.image), head.abi);
  if (!raw) return 0;
  for (const kernel::RawChain& chain : raw->chains) expect_same_bytes(raw->entries(chain), head.family, head.abi);
  const auto table = decode(*raw, head.abi);
  if (!table) return 0;
  if (ruleset::write_save(*table).empty()) std::abort();
  const ruleset::RuleSet rules{{*table}, {}};
  const auto encoded = encode(rules, rules.tables.front(), Features::all(), head.abi);
  if (!encoded) return 0;  // what no kernel can hold may still be read
  const auto again = decode(*encoded, head.abi);
  if (!again) std::abort();
  return 0;
}
