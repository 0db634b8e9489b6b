#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/packet.h"
#include "net/shared_text.h"
#include "ruleset/match.h"
#include "ruleset/target.h"

/// The neutral rule set: what kernel tables, printed text, proof, explanation and fast path are views of.
/// Plain values; nothing here touches a kernel.
namespace tails::ruleset {

/// Where a rule comes from: a policy file's or profile's line and the entry there.
struct Origin {
  SharedText file;    ///< A path, or a profile's name.
  uint32_t line = 0;  ///< From 1; 0: the whole file.
  SharedText entry;   ///< What a reader calls it: `service "Tor SOCKS"`, `[lan] closed`.

  friend auto operator<=>(const Origin&, const Origin&) = default;
};

/// "tails.toml:14".
std::string to_string(const Origin& origin);

/// Index into RuleSet::origins.
using OriginIndex = uint32_t;
inline constexpr OriginIndex kNoOrigin = std::numeric_limits<OriginIndex>::max();

/// Packet and byte counters as the kernel keeps them.
struct Counters {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  friend bool operator==(const Counters&, const Counters&) = default;
};

/// One rule: all tests must hold, in this order. The order of `matches` shows in text and in the kernel.
struct Rule {
  HeaderTest header;
  std::vector<Match> matches;
  Target target = Continue{};
  OriginIndex origin = kNoOrigin;
  Counters counters;

  /// Same tests and target; where it came from and what it counted do not matter.
  [[nodiscard]] bool says_the_same(const Rule& other) const {
    return header == other.header && matches == other.matches && target == other.target;
  }
};

/// What a built-in chain does at its end.
enum class ChainPolicy : uint8_t { kAccept, kDrop };

struct Chain {
  std::string name;
  std::optional<ChainPolicy> policy;  ///< Present exactly for built-in chains.
  std::vector<Rule> rules;
  Counters counters;               ///< Of the policy.
  OriginIndex origin = kNoOrigin;  ///< Of the policy.

  [[nodiscard]] bool is_builtin() const { return policy.has_value(); }
};

enum class TableName : uint8_t { kFilter, kNat, kMangle, kRaw, kSecurity };

/// "filter", "nat", …
std::string_view to_string(TableName name);
std::optional<TableName> parse_table_name(std::string_view text);

/// The built-in chains of a table in the order of hooks, as libiptc lists them.
/// nat has INPUT since 2.6.36; the kernel at hand decides, this is the modern list.
const std::vector<std::string_view>& builtin_chains(TableName table);

/// One table of one family. Built-in chains come first, in hook order; then user chains, sorted by name
/// where read from or written to a kernel (libiptc keeps them sorted).
struct Table {
  Family family = Family::kIpv4;
  TableName name = TableName::kFilter;
  std::vector<Chain> chains;

  [[nodiscard]] const Chain* find(std::string_view chain) const;
  [[nodiscard]] Chain* find(std::string_view chain);
  [[nodiscard]] size_t rule_count() const;
  /// Same chains in the same order, same policies, rules that say the same; counters and origins do not matter.
  [[nodiscard]] bool says_the_same(const Table& other) const;

  /// A table with empty built-in chains of policy ACCEPT, as a fresh network namespace has it.
  static Table open(Family family, TableName name);
};

/// The tables of one network namespace. A table that is absent is as an open one.
struct RuleSet {
  std::vector<Table> tables;
  std::vector<Origin> origins;

  [[nodiscard]] const Table* find(Family family, TableName name) const;
  [[nodiscard]] Table* find(Family family, TableName name);
  /// Nullptr for kNoOrigin.
  [[nodiscard]] const Origin* origin(OriginIndex index) const;
  /// Index of an equal origin, appended when new.
  OriginIndex intern(const Origin& origin);
};

/// Names one rule of a rule set, or (rule == kPolicy) a chain's policy. Views into the rule set.
/// Default-constructed it names nothing: the table is absent, hence open.
struct RuleRef {
  static constexpr size_t kPolicy = std::numeric_limits<size_t>::max();

  const Table* table = nullptr;
  const Chain* chain = nullptr;
  size_t rule = kPolicy;

  [[nodiscard]] bool is_policy() const { return rule == kPolicy; }
  [[nodiscard]] OriginIndex origin() const {
    if (chain == nullptr) return kNoOrigin;
    return is_policy() ? chain->origin : chain->rules[rule].origin;
  }
  friend bool operator==(const RuleRef&, const RuleRef&) = default;
};

/// A machine is several rule sets: the host's, and one for each guest (a network namespace that the policy declares).
struct Machine {
  RuleSet host;
  std::map<std::string, RuleSet> guests;  ///< By the namespace's name.
};

}  // namespace tails::ruleset
