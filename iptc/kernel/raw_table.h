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
  std::string name;              ///< 1..28 bytes; up to 29 where the kernel was given such a one.
  std::optional<Policy> policy;  ///< Present exactly for built-in chains.
  size_t begin = 0;
  size_t end = 0;
  uint64_t packets = 0;  ///< Counters of the policy; 0 for other chains.
  uint64_t octets = 0;
};

/// One table as bytes that do not depend on where they stand.
///
/// 1. `bytes` holds whole entries (struct ipt_entry or ip6t_entry, its matches, its target) in the layout and byte
///    order of this machine, each as long as its next_offset. What lies between chains in `bytes` means nothing.
/// 2. A standard target bears its verdict as a name ("ACCEPT", "DROP", "RETURN", "QUEUE" or a chain), the number 0 and
///    the revision kLabel, which no extension has: a chain may be named like one. "Go on with the next entry" is the
///    name "" with number and revision 0. Any other number stays beside the name "" and cannot be written back.
/// 3. What is private to the kernel (comefrom, nfcache, bytes behind the end of a name, the tail of some payloads), and
///    the padding of a standard target, is zero. Counters are kept.
/// 4. Built-in chains come first in hook order, then the others; sorted by name where a tool of libiptc wrote them.
struct RawTable {
  static constexpr uint8_t kLabel = 255;

  Family family = Family::kIpv4;
  std::string name;  ///< "filter", "nat", …
  std::vector<RawChain> chains;
  std::vector<std::byte> bytes;

  [[nodiscard]] const RawChain* find(std::string_view chain) const;
  [[nodiscard]] std::span<const std::byte> entries(const RawChain& chain) const {
    return std::span(bytes).subspan(chain.begin, chain.end - chain.begin);
  }
  /// Rules, without chain heads and policies.
  [[nodiscard]] size_t entry_count() const;
};

/// Same family, name, chains, policies and entries; counters do not matter.
bool same_rules(const RawTable& a, const RawTable& b);

}  // namespace tails::iptc::kernel
