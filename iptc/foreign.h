#pragma once

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "iptc/plan.h"
#include "iptc/record.h"
#include "iptc/transaction.h"

namespace tails::iptc {

/// A rule that was named already: the index of its table in the changes, and its fingerprint.
using NamedRule = std::pair<size_t, uint64_t>;

/// The live rules of the tables that differ which are neither wanted, nor ours by the record, nor in `named`; in their
/// order. They are added to `named`.
std::vector<ForeignRule> find_foreign(const std::vector<TableChange>& changes, const Record& record,
                                      uint64_t network_namespace, std::set<NamedRule>& named);

}  // namespace tails::iptc
