#include "iptc/kernel/raw_table.h"

#include <algorithm>
#include <cstring>

#include "iptc/kernel/entry.h"

namespace tails::iptc::kernel {
namespace {

bool same_entries(std::span<const std::byte> a, std::span<const std::byte> b, const EntryLayout& at) {
  const auto are_equal = [&](size_t begin, size_t end) {
    const auto in_a = a.subspan(begin, end - begin);
    return std::memcmp(in_a.data(), b.subspan(begin, end - begin).data(), in_a.size()) == 0;
  };
  if (a.size() != b.size()) return false;
  while (!a.empty()) {
    const size_t size = load<uint16_t>(a, at.next_offset);
    if (!are_equal(0, at.counters) || !are_equal(at.size, size)) return false;  // the size is in the first part
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
