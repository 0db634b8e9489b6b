#include "iptc/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <utility>

#include "iptc/encode.h"
#include "iptc/fallback.h"
#include "iptc/kernel/words.h"

namespace tails::iptc {
namespace {

using ruleset::TableName;

bool is_trivial(const ruleset::Table& table) {
  return std::ranges::all_of(table.chains, [](const ruleset::Chain& chain) {
    return chain.rules.empty() && chain.policy == ruleset::ChainPolicy::kAccept;
  });
}

/// Gives `wanted` the built-in chains that this kernel's table has, in its order: nat gained INPUT in Linux 2.6.36.
Result<void> align(kernel::RawTable& wanted, const kernel::RawTable& live) {
  std::vector<kernel::RawChain> chains;
  for (const kernel::RawChain& chain : live.chains) {
    if (!chain.policy) continue;
    const auto at = std::ranges::find(wanted.chains, chain.name, &kernel::RawChain::name);
    if (at != wanted.chains.end()) {
      chains.push_back(std::move(*at));
      wanted.chains.erase(at);
    } else if (wanted.name == "filter") {
      return fail(ErrorKind::kRefused, fmt::format("the rules say nothing of chain {} in {}", chain.name,
                                                   kernel::table_words(live.family, live.name)));
    } else {
      chains.push_back({chain.name, kernel::Policy::kAccept, 0, 0, 0, 0});
    }
  }
  for (kernel::RawChain& chain : wanted.chains) {
    if (!chain.policy) {
      chains.push_back(std::move(chain));
    } else if (chain.policy != kernel::Policy::kAccept || chain.begin != chain.end) {
      return fail(ErrorKind::kRefused, fmt::format("this kernel has no chain {} in {}", chain.name,
                                                   kernel::table_words(live.family, live.name)));
    }
  }
  wanted.chains = std::move(chains);
  return {};
}

class Gatherer {
 public:
  Gatherer(kernel::Kernel& kernel, ruleset::RuleSet wanted, const std::string& policy, const ReadRecord& record,
           Features& features)
      : kernel_(kernel), wanted_(std::move(wanted)), policy_(policy), record_(record), features_(features) {}

  Result<Gathered> run() {
    const auto ipv6 = kernel_.has_ipv6();
    if (!ipv6) return tl::unexpected(ipv6.error());
    if (!*ipv6) result_.notices.emplace_back("This kernel has no IPv6, so there was nothing to filter there.");
    namespace_ = kernel_.namespace_id();
    for (const TableName name :
         {TableName::kFilter, TableName::kNat, TableName::kMangle, TableName::kRaw, TableName::kSecurity}) {
      for (const Family family : {Family::kIpv6, Family::kIpv4}) {
        if (family == Family::kIpv6 && !*ipv6) continue;
        if (auto added = consider(family, name); !added) return tl::unexpected(added.error());
      }
    }
    return std::move(result_);
  }

 private:
  Result<void> consider(Family family, TableName name) {
    const ruleset::Table* const wanted = wanted_.find(family, name);
    const bool says_something = wanted != nullptr && !is_trivial(*wanted);
    if (name == TableName::kFilter || says_something) return add(family, name);
    if (name == TableName::kNat && family == Family::kIpv4) return add_if_there(family, name);
    const auto exists = is_there(family, name);
    if (!exists) return tl::unexpected(exists.error());
    if (!*exists) return {};
    return name == TableName::kNat || wanted != nullptr ? add(family, name) : add_if_ours(family, name);
  }

  Result<bool> is_there(Family family, TableName name) {
    auto& names = existing_[family == Family::kIpv4 ? 0 : 1];
    if (!names) {
      auto listed = kernel_.tables(family);
      if (!listed) return tl::unexpected(listed.error());
      names = *std::move(listed);
    }
    return std::ranges::find(*names, to_string(name)) != names->end();
  }

  Result<void> add(Family family, TableName name) {
    auto live = kernel_.read(family, to_string(name));
    if (!live) return tl::unexpected(explain(std::move(live.error()), family, name));
    return add(*std::move(live), name);
  }

  /// A kernel without nat has no nat rules to remove.
  Result<void> add_if_there(Family family, TableName name) {
    auto live = kernel_.read(family, to_string(name));
    if (live) return add(*std::move(live), name);
    const auto exists = is_there(family, name);
    if (exists && !*exists && live.error().system_errno == ENOENT) return {};
    return tl::unexpected(live.error());
  }

  /// Other tables are left alone, unless the record says that we filled them.
  Result<void> add_if_ours(Family family, TableName name) {
    const bool may_be_ours = std::ranges::any_of(record_().tables(), [&](const RecordedTable& t) {
      return t.network_namespace == namespace_ && t.family == family && t.table == to_string(name);
    });
    if (!may_be_ours) return {};
    auto live = kernel_.read(family, to_string(name));
    if (!live) return tl::unexpected(live.error());
    if (record_().find(namespace_, family, live->name, fingerprint(*live).whole) == nullptr) return {};
    return add(*std::move(live), name);
  }

  Result<void> add(kernel::RawTable live, TableName name) {
    const Family family = live.family;
    ruleset::Table* table = wanted_.find(family, name);
    ruleset::Table open = ruleset::Table::open(family, name);
    ruleset::Table& source = table != nullptr ? *table : open;
    const auto start = std::chrono::steady_clock::now();
    auto replaced = fit(kernel_, source, features_);
    if (!replaced) return tl::unexpected(replaced.error());
    std::ranges::move(*replaced, std::back_inserter(result_.notices));
    auto encoded = encode(wanted_, source, features_);
    if (!encoded) return tl::unexpected(encoded.error());
    if (auto aligned = align(*encoded, live); !aligned) return aligned;
    result_.encoding += std::chrono::steady_clock::now() - start;
    const TableFingerprint print = fingerprint(*encoded);
    result_.record.push_back({namespace_, family, live.name, RecordedTable::Kind::kRules, print.whole,
                              std::make_shared<const std::string>(record_body(wanted_, source, print, policy_))});
    TableChange change{family, name, std::move(live), *std::move(encoded), source.rule_count(), false};
    change.differs = !kernel::same_rules(change.live, change.wanted);
    result_.changes.push_back(std::move(change));
    // A hundred thousand rules take more memory than their bytes: they are not needed any more.
    if (table != nullptr) table->chains = {};
    return {};
  }

  static Error explain(Error error, Family family, TableName name) {
    const bool is_missing = error.system_errno == ENOPROTOOPT || error.system_errno == ENOENT;
    if (is_missing && family == Family::kIpv6 && name == TableName::kFilter) {
      error.remedy = "IPv6 itself is there and would stay open. " + error.remedy;
    }
    return error;
  }

  kernel::Kernel& kernel_;
  ruleset::RuleSet wanted_;
  const std::string& policy_;
  const ReadRecord& record_;
  Features& features_;
  uint64_t namespace_ = 0;
  std::array<std::optional<std::vector<std::string>>, 2> existing_;
  Gathered result_;
};

}  // namespace

Result<Gathered> gather(kernel::Kernel& kernel, ruleset::RuleSet wanted, const std::string& policy,
                        const ReadRecord& record, Features& features) {
  return Gatherer(kernel, std::move(wanted), policy, record, features).run();
}

Result<void> read_again(kernel::Kernel& kernel, std::vector<TableChange>& changes) {
  for (TableChange& change : changes) {
    auto live = kernel.read(change.family, to_string(change.name));
    if (!live) return tl::unexpected(live.error());
    change.live = *std::move(live);
    change.differs = !kernel::same_rules(change.live, change.wanted);
  }
  return {};
}

bool is_open(const kernel::RawTable& filter) {
  return std::ranges::any_of(filter.chains,
                             [](const kernel::RawChain& chain) { return chain.policy == kernel::Policy::kAccept; });
}

}  // namespace tails::iptc
