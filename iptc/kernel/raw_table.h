#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"

/// What stands between our values and xtables. The only room that knows libiptc and the kernel's headers.
namespace tails::iptc::kernel {

/// What a built-in chain does at its end.
enum class Policy : uint8_t { kAccept, kDrop };

/// One chain of a RawTable: its entries are `bytes[begin, end)` of the table, one after the other.
struct RawChain {
  std::string name;              ///< 1..28 bytes.
  std::optional<Policy> policy;  ///< Present exactly for built-in chains.
  size_t begin = 0;
  size_t end = 0;
  uint64_t packets = 0;  ///< Counters of the policy; 0 for other chains.
  uint64_t octets = 0;
};

/// One table as bytes that do not depend on where they stand.
///
/// 1. `bytes` holds whole entries (struct ipt_entry or ip6t_entry, its matches, its target) in the layout and byte
///    order of this machine, each as long as its next_offset. Chain heads, chain ends and the table's end are not in
///    it.
/// 2. A standard target bears its verdict as a name ("ACCEPT", "DROP", "RETURN", "QUEUE", a chain, or "" to go on
///    with the next entry) and the number 0, as libiptc takes it. Any other number stays beside the name "".
/// 3. What is private to the kernel (comefrom, nfcache, bytes behind the end of a name, the tail of some payloads)
///    is zero. Counters are kept.
/// 4. Built-in chains come first in hook order, then the others sorted by name, as libiptc writes them.
struct RawTable {
  Family family = Family::kIpv4;
  std::string name;  ///< "filter", "nat", …
  std::vector<RawChain> chains;
  std::vector<std::byte> bytes;

  [[nodiscard]] const RawChain* find(std::string_view chain) const;
  [[nodiscard]] std::span<const std::byte> entries(const RawChain& chain) const {
    return std::span(bytes).subspan(chain.begin, chain.end - chain.begin);
  }
};

/// Same family, name, chains, policies and entries; counters do not matter.
bool same_rules(const RawTable& a, const RawTable& b);

}  // namespace tails::iptc::kernel
