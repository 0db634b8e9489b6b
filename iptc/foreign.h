#pragma once

#include <vector>

#include "iptc/plan.h"
#include "iptc/record.h"
#include "iptc/transaction.h"

namespace tails::iptc {

/// The live rules of the tables that differ which are neither wanted nor ours by the record, in their order. Pure.
std::vector<ForeignRule> find_foreign(const std::vector<TableChange>& changes, const Record& record,
                                      uint64_t network_namespace);

}  // namespace tails::iptc
