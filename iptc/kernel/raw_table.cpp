#include "iptc/kernel/raw_table.h"

#include <algorithm>

#include "iptc/kernel/entry.h"

namespace tails::iptc::kernel {
namespace {

bool same_entries(std::span<const std::byte> a, std::span<const std::byte> b, const EntryLayout& at) {
  if (a.size() != b.size()) return false;
  while (!a.empty()) {
    const size_t size = load<uint16_t>(a, at.next_offset);
    if (size != load<uint16_t>(b, at.next_offset) || !std::ranges::equal(a.first(at.counters), b.first(at.counters)) ||
        !std::ranges::equal(a.subspan(at.size, size - at.size), b.subspan(at.size, size - at.size))) {
      return false;
    }
    a = a.subspan(size);
    b = b.subspan(size);
  }
  return true;
}

}  // namespace

const RawChain* RawTable::find(std::string_view chain) const {
  const auto found = std::ranges::find(chains, chain, &RawChain::name);
  return found == chains.end() ? nullptr : &*found;
}

size_t RawTable::entry_count() const {
  const size_t next_offset = entry_layout(family).next_offset;
  size_t count = 0;
  for (const RawChain& chain : chains) {
    for (auto rest = entries(chain); !rest.empty(); rest = rest.subspan(load<uint16_t>(rest, next_offset))) ++count;
  }
  return count;
}

bool same_rules(const RawTable& a, const RawTable& b) {
  const EntryLayout at = entry_layout(a.family);
  return a.family == b.family && a.name == b.name &&
         std::ranges::equal(a.chains, b.chains, [&](const RawChain& x, const RawChain& y) {
           return x.name == y.name && x.policy == y.policy && same_entries(a.entries(x), b.entries(y), at);
         });
}

}  // namespace tails::iptc::kernel
