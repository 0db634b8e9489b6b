#include <fmt/format.h>

#include <algorithm>

#include "iptc/decode.h"
#include "iptc/record.h"
#include "iptc/transaction.h"

namespace tails::iptc {
namespace {

/// Gives a table's rules their origins. The record's rules stand in the same order: the fingerprints of the whole
/// are equal. False where the record is damaged all the same.
bool attach(ruleset::Table& table, const RecordedOrigins& recorded, ruleset::RuleSet& rules) {
  if (recorded.chains.size() != table.chains.size()) return false;
  std::vector<ruleset::OriginIndex> numbers;
  for (const ruleset::Origin& origin : recorded.origins) numbers.push_back(rules.intern(origin));
  const auto number = [&](ruleset::OriginIndex index) {
    return index == ruleset::kNoOrigin ? ruleset::kNoOrigin : numbers[index];
  };
  for (size_t i = 0; i < table.chains.size(); ++i) {
    ruleset::Chain& chain = table.chains[i];
    const RecordedOrigins::Chain& known = recorded.chains[i];
    if (known.origins.size() != chain.rules.size()) return false;
    chain.origin = number(known.origin);
    for (size_t j = 0; j < chain.rules.size(); ++j) chain.rules[j].origin = number(known.origins[j]);
  }
  return true;
}

class LiveReader {
 public:
  LiveReader(System system, const std::string& run_directory)
      : kernel_(system.kernel), namespace_(system.kernel.namespace_id()) {
    auto record = Record::read(system.files, run_directory);
    if (record) {
      record_ = *std::move(record);
    } else {
      live_.record_problem = record.error();
    }
  }

  Result<Live> run() {
    const auto ipv6 = kernel_.has_ipv6();
    if (!ipv6) return tl::unexpected(ipv6.error());
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      if (family == Family::kIpv6 && !*ipv6) continue;
      const auto names = kernel_.tables(family);
      if (!names) return tl::unexpected(names.error());
      for (const ruleset::TableName name :
           {ruleset::TableName::kFilter, ruleset::TableName::kNat, ruleset::TableName::kMangle,
            ruleset::TableName::kRaw, ruleset::TableName::kSecurity}) {
        if (std::ranges::find(*names, to_string(name)) == names->end()) continue;
        if (auto added = add(family, to_string(name)); !added) return tl::unexpected(added.error());
      }
    }
    return std::move(live_);
  }

 private:
  Result<void> add(Family family, std::string_view name) {
    const auto raw = kernel_.read(family, name);
    if (!raw) return tl::unexpected(raw.error());
    auto table = decode(*raw);
    if (!table) return tl::unexpected(table.error());
    const RecordedTable* const recorded = record_.find(namespace_, family, name, fingerprint(*raw).whole);
    const auto origins = recorded != nullptr ? parse_body(*recorded->body) : std::nullopt;
    if (origins && recorded->kind == RecordedTable::Kind::kGuard) {
      live_.has_guard = true;
    } else if (origins && attach(*table, *origins, live_.rules)) {
      if (live_.policy.empty() && name == "filter") live_.policy = origins->policy;
    } else if (table->rule_count() > 0) {
      live_.unrecorded.push_back(fmt::format("{} {}", family == Family::kIpv4 ? "ip" : "ip6", name));
    }
    live_.rules.tables.push_back(*std::move(table));
    return {};
  }

  kernel::Kernel& kernel_;
  Record record_;
  uint64_t namespace_;
  Live live_;
};

}  // namespace

Result<Live> read_live(System system, const std::string& run_directory) {
  return LiveReader(system, run_directory).run();
}

}  // namespace tails::iptc
