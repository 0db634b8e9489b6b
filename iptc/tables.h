#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "iptc/features.h"
#include "iptc/kernel/kernel.h"
#include "iptc/plan.h"
#include "iptc/record.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// Which tables a transaction is about, and their bytes.
namespace tails::iptc {

struct Gathered {
  std::vector<TableChange> changes;   ///< In the order of commit: filters (IPv6, IPv4), nat, the others.
  std::vector<RecordedTable> record;  ///< What to remember of each wanted table.
  std::vector<std::string> notices;
  std::chrono::nanoseconds encoding{};  ///< How long that alone took.
};

/// The record, read when it is first asked for: it may be megabytes, and most transactions need it only once the wanted
/// rules are encoded and gone.
using ReadRecord = std::function<const Record&()>;

/// Reads what is live and encodes what is wanted, which is released table by table as that is done. Nothing is changed,
/// but modules may be loaded and empty tables come into being.
///
/// Ours are filter and nat, whole; nat of IPv6 only where it exists already or rules for it are wanted; mangle, raw and
/// security where `wanted` has them or where the record says that we filled them. A kernel without IPv6 is told of in
/// a notice.
/// Errors (kRefused): a table, match or target is missing where it is needed; IPv6 without ip6_tables, which would
/// leave all of IPv6 open; no permission.
Result<Gathered> gather(kernel::Kernel& kernel, ruleset::RuleSet wanted, const std::string& policy,
                        const ReadRecord& record, Features& features);

/// Reads the live tables of `changes` again.
Result<void> read_again(kernel::Kernel& kernel, std::vector<TableChange>& changes);

/// A filter table with an ACCEPT policy lets through what no rule speaks of.
bool is_open(const kernel::RawTable& filter);

}  // namespace tails::iptc
