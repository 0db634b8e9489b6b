#pragma once

#include "iptc/kernel/layout.h"
#include "iptc/kernel/raw_table.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// A table's rules out of its bytes, counters included, without origins. Pure; rules of any program can be read: what
/// is not known becomes an OpaqueMatch or OpaqueTarget. Error (kRefused): the table's name is unknown, or its entries
/// are not whole (never so for what `kernel::from_image` made).
Result<ruleset::Table> decode(const kernel::RawTable& raw, kernel::Abi abi = kernel::kNativeAbi);

}  // namespace tails::iptc
