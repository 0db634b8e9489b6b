#include "ruleset/rule_set.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tails::ruleset {
namespace {

constexpr std::array<std::string_view, 5> kTableNames = {"filter", "nat", "mangle", "raw", "security"};
static_assert(kTableNames.size() == static_cast<size_t>(TableName::kSecurity) + 1);

template <class Chains>
auto* find_chain(Chains& chains, std::string_view name) {
  const auto at = std::ranges::find(chains, name, &Chain::name);
  return at == chains.end() ? nullptr : &*at;
}

}  // namespace

std::string to_string(const Origin& origin) {
  return origin.line == 0 ? origin.file.str() : origin.file.str() + ":" + std::to_string(origin.line);
}

std::string_view to_string(TableName name) { return kTableNames.at(static_cast<size_t>(name)); }

std::optional<TableName> parse_table_name(std::string_view text) {
  const auto* const at = std::ranges::find(kTableNames, text);
  if (at == kTableNames.end()) return std::nullopt;
  return static_cast<TableName>(at - kTableNames.begin());
}

const std::vector<std::string_view>& builtin_chains(TableName table) {
  static const std::vector<std::string_view> filter = {"INPUT", "FORWARD", "OUTPUT"};
  static const std::vector<std::string_view> nat = {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"};
  static const std::vector<std::string_view> mangle = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
  static const std::vector<std::string_view> raw = {"PREROUTING", "OUTPUT"};
  switch (table) {
    case TableName::kFilter:
    case TableName::kSecurity: return filter;
    case TableName::kNat: return nat;
    case TableName::kMangle: return mangle;
    case TableName::kRaw: return raw;
  }
  return filter;
}

const Chain* Table::find(std::string_view chain) const { return find_chain(chains, chain); }
Chain* Table::find(std::string_view chain) { return find_chain(chains, chain); }

size_t Table::rule_count() const {
  size_t count = 0;
  for (const Chain& chain : chains) count += chain.rules.size();
  return count;
}

bool Table::says_the_same(const Table& other) const {
  const auto same_chain = [](const Chain& a, const Chain& b) {
    return a.name == b.name && a.policy == b.policy &&
           std::ranges::equal(a.rules, b.rules, [](const Rule& x, const Rule& y) { return x.says_the_same(y); });
  };
  return family == other.family && name == other.name && std::ranges::equal(chains, other.chains, same_chain);
}

Table Table::open(Family family, TableName name) {
  Table table{family, name, {}};
  for (const std::string_view chain : builtin_chains(name)) {
    table.chains.push_back({std::string(chain), ChainPolicy::kAccept, {}, {}, kNoOrigin});
  }
  return table;
}

const Table* RuleSet::find(Family family, TableName name) const {
  const auto at = std::ranges::find_if(tables, [&](const Table& t) { return t.family == family && t.name == name; });
  return at == tables.end() ? nullptr : &*at;
}

Table* RuleSet::find(Family family, TableName name) {
  return const_cast<Table*>(std::as_const(*this).find(family, name));  // NOLINT(cppcoreguidelines-pro-type-const-cast)
}

const Origin* RuleSet::origin(OriginIndex index) const { return index < origins.size() ? &origins[index] : nullptr; }

OriginIndex RuleSet::intern(const Origin& origin) {
  // Lowering adds rules entry by entry, so an equal origin is almost always the last one.
  if (!origins.empty() && origins.back() == origin) return static_cast<OriginIndex>(origins.size() - 1);
  origins.push_back(origin);
  return static_cast<OriginIndex>(origins.size() - 1);
}

bool is_stateless_extension(std::string_view name) {
  constexpr std::array<std::string_view, 11> kStateless = {"ah",  "cgroup",     "esp", "eui64",   "frag", "hbh",
                                                           "mac", "ipv6header", "mh",  "pkttype", "rt"};
  return std::ranges::find(kStateless, name) != kStateless.end();
}

std::string_view extension_name(const Match& match, Family family) {
  struct Namer {
    Family family;
    std::string_view operator()(const TcpMatch&) const { return "tcp"; }
    std::string_view operator()(const UdpMatch&) const { return "udp"; }
    std::string_view operator()(const IcmpMatch&) const { return family == Family::kIpv4 ? "icmp" : "icmp6"; }
    std::string_view operator()(const MultiportMatch&) const { return "multiport"; }
    std::string_view operator()(const OwnerMatch&) const { return "owner"; }
    std::string_view operator()(const StateMatch&) const { return "state"; }
    std::string_view operator()(const ConntrackMatch&) const { return "conntrack"; }
    std::string_view operator()(const LimitMatch&) const { return "limit"; }
    std::string_view operator()(const MarkMatch&) const { return "mark"; }
    std::string_view operator()(const ConnmarkMatch&) const { return "connmark"; }
    std::string_view operator()(const AddrtypeMatch&) const { return "addrtype"; }
    std::string_view operator()(const DscpMatch&) const { return "dscp"; }
    std::string_view operator()(const CommentMatch&) const { return "comment"; }
    std::string_view operator()(const OpaqueMatch& opaque) const { return opaque.name; }
  };
  return std::visit(Namer{family}, match);
}

std::string_view target_name(const Target& target) {
  struct Namer {
    std::string_view operator()(const Accept&) const { return "ACCEPT"; }
    std::string_view operator()(const Drop&) const { return "DROP"; }
    std::string_view operator()(const Return&) const { return "RETURN"; }
    std::string_view operator()(const Continue&) const { return ""; }
    std::string_view operator()(const Jump& jump) const { return jump.chain; }
    std::string_view operator()(const Reject&) const { return "REJECT"; }
    std::string_view operator()(const Log&) const { return "LOG"; }
    std::string_view operator()(const Nflog&) const { return "NFLOG"; }
    std::string_view operator()(const Redirect&) const { return "REDIRECT"; }
    std::string_view operator()(const Masquerade&) const { return "MASQUERADE"; }
    std::string_view operator()(const Dnat&) const { return "DNAT"; }
    std::string_view operator()(const SetMark&) const { return "MARK"; }
    std::string_view operator()(const SetConnmark&) const { return "CONNMARK"; }
    std::string_view operator()(const SetDscp&) const { return "DSCP"; }
    std::string_view operator()(const OpaqueTarget& opaque) const { return opaque.name; }
  };
  return std::visit(Namer{}, target);
}

}  // namespace tails::ruleset
