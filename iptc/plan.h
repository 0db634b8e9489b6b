#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "iptc/features.h"
#include "iptc/kernel/raw_table.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// One table of the transaction: what was found and what is wanted.
struct TableChange {
  Family family = Family::kIpv4;
  ruleset::TableName name = ruleset::TableName::kFilter;
  kernel::RawTable live;
  kernel::RawTable wanted;
  size_t rules = 0;      ///< Of the wanted table.
  bool differs = false;  ///< `live` is not `wanted`.
};

/// One commit: table `table` of the changes gets its wanted content, or its family's guard.
struct Step {
  size_t table = 0;
  bool is_guard = false;
  friend bool operator==(const Step&, const Step&) = default;
};

struct Plan {
  std::vector<Step> steps;
  /// The guards that `steps` uses, IPv4 and IPv6.
  std::optional<ruleset::Table> guard_v4;
  std::optional<ruleset::Table> guard_v6;
};

/// The order of commits in which, at every moment and for every packet, accepted implies that the old or the new tables
/// accept it. Families do not meet in any packet, so each is ordered by itself:
/// 1. Only one table differs: it goes straight from old to new.
/// 2. Filter and others differ. Filter first where the old tables accept all, or where the new filter accepts
///    nothing but ESTABLISHED flows (nat is not asked for these). Filter last where the new tables accept all, or
///    where the old filter accepts nothing but ESTABLISHED flows.
/// 3. Else: guard in filter, then the others, then filter. Where the others themselves may stop packets, even the guard
///    lets nothing through.
/// What closes comes first over all: filters (IPv6, IPv4), the other tables, the filters that had to wait. Pure.
Plan make_plan(const std::vector<TableChange>& changes);

}  // namespace tails::iptc
