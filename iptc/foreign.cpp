#include "iptc/foreign.h"

#include <algorithm>

#include "iptc/fingerprint.h"
#include "iptc/rule_codec.h"

namespace tails::iptc {
namespace {

/// Fingerprints of every rule that is ours in this table, sorted.
std::vector<uint64_t> known_rules(const TableChange& change, const Record& record, uint64_t network_namespace) {
  std::vector<uint64_t> known = fingerprint(change.wanted).rules;
  for (const RecordedTable& table : record.tables()) {
    if (table.network_namespace != network_namespace || table.family != change.family ||
        table.table != change.live.name) {
      continue;
    }
    const auto origins = parse_body(*table.body);
    if (!origins) continue;
    for (const auto& chain : origins->chains) known.insert(known.end(), chain.rules.begin(), chain.rules.end());
  }
  std::ranges::sort(known);
  return known;
}

}  // namespace

std::vector<ForeignRule> find_foreign(const std::vector<TableChange>& changes, const Record& record,
                                      uint64_t network_namespace, std::set<NamedRule>& named) {
  std::vector<ForeignRule> foreign;
  std::vector<NamedRule> found;  // Two equal rules in one look are two.
  for (size_t table = 0; table < changes.size(); ++table) {
    const TableChange& change = changes[table];
    if (!change.differs || change.live.entry_count() == 0) continue;
    const std::vector<uint64_t> known = known_rules(change, record, network_namespace);
    for (const kernel::RawChain& chain : change.live.chains) {
      size_t position = 0;
      for (auto rest = change.live.entries(chain); !rest.empty();) {
        const auto entry = kernel::view_entry(rest, change.family);
        if (!entry) break;
        ++position;
        rest = rest.subspan(entry->bytes.size());
        const uint64_t print = fingerprint(entry->bytes, change.family);
        if (std::ranges::binary_search(known, print) || named.contains({table, print})) continue;
        found.emplace_back(table, print);
        foreign.push_back({change.family, change.name, chain.name, position, read_rule(*entry, change.family).rule});
      }
    }
  }
  named.insert(found.begin(), found.end());
  return foreign;
}

}  // namespace tails::iptc
