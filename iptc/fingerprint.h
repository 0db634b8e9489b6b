#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "iptc/kernel/raw_table.h"

/// Numbers that stand for rules. They tell changes apart, nothing more: they resist accidents, not an attacker, who
/// would have to be root.
namespace tails::iptc {

/// Of one entry's bytes, its counters left out.
uint64_t fingerprint(std::span<const std::byte> entry, Family family);

struct TableFingerprint {
  uint64_t whole = 0;           ///< Equal for `same_rules` tables, and only for them but by accident.
  std::vector<uint64_t> rules;  ///< Of every entry, chain after chain.
};
TableFingerprint fingerprint(const kernel::RawTable& table);

}  // namespace tails::iptc
