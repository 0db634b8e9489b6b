#include "proof/service_cut.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <variant>

#include "proof/chains.h"

namespace tails::proof {
namespace {

using namespace ruleset;

/// Below, the diagrams of all rules are quick enough, and they are the closer look.
constexpr size_t kFewRules = 300;

/// One set of services, and where it should be asked for.
struct Expected {
  uint8_t protocol;
  ServiceSet set;
  std::string_view hook;
  std::vector<Box> boxes;
  bool is_found = false;
};

/// Every service is in here: 127/8 without automap, or ::1. Every box is checked.
Prefix home_of(Family family) { return family == Family::kIpv4 ? kLoopbackNetV4 : Prefix::host(kLoopbackV6); }

bool is_at_home(const Box& box, Family family, const std::optional<Prefix>& automap) {
  return home_of(family).contains(box.destination.address()) && (!automap || !automap->overlaps(box.destination));
}

/// Nullopt where a set has no canonical form or lies elsewhere.
std::optional<std::vector<Expected>> expected_sets(Family family, const policy::Policy& policy,
                                                   const std::optional<Prefix>& automap) {
  struct Kind {
    ServiceSet set;
    std::string_view hook;
  };
  static constexpr std::array kKinds = {Kind{ServiceSet::kGrants, "OUTPUT"}, Kind{ServiceSet::kDenials, "OUTPUT"},
                                        Kind{ServiceSet::kPlaces, "INPUT"}};
  std::vector<Expected> sets;
  for (const uint8_t number : {protocol::kTcp, protocol::kUdp}) {
    for (const Kind& kind : kKinds) {
      if (kind.set == ServiceSet::kPlaces && family == Family::kIpv4) continue;
      auto boxes = service_boxes(policy, family, number, kind.set);
      const auto at_home = [&](const Box& box) { return is_at_home(box, family, automap); };
      if (!boxes || !std::ranges::all_of(*boxes, at_home)) return std::nullopt;
      if (!boxes->empty()) sets.push_back({number, kind.set, kind.hook, std::move(*boxes)});
    }
  }
  return sets;
}

/// Whether all that happens to a packet's destination is REDIRECT to one port, so that it is the same for rules and
/// policy once the redirects are. A set of services is a variable of the packet as the filter sees it.
bool is_destination_plain(const Table& table) {
  return std::ranges::all_of(table.chains, [](const Chain& chain) {
    return std::ranges::all_of(chain.rules, [](const Rule& rule) {
      if (const auto* redirect = std::get_if<Redirect>(&rule.target)) {
        return !redirect->ports || redirect->ports->first == redirect->ports->last;
      }
      return !std::holds_alternative<OpaqueTarget>(rule.target) && !std::holds_alternative<Dnat>(rule.target);
    });
  });
}

std::string name_of(uint8_t number, ServiceSet set) {
  constexpr std::array kSets = {"granted", "denied", "granted to somebody"};
  return std::string(number == protocol::kTcp ? "TCP " : "UDP ") + kSets.at(static_cast<size_t>(set));
}

/// The rules that stand for a tree.
std::vector<Rule> stand_in(const Expected& expected, Family family, const std::optional<Prefix>& automap,
                           const Target& target) {
  std::vector<Rule> rules;
  if (automap) {
    Rule& elsewhere = rules.emplace_back();
    elsewhere.header.destination = AddressTest::in(*automap);
    elsewhere.target = Return{};
  }
  Rule& rule = rules.emplace_back();
  rule.header.destination = AddressTest::in(home_of(family));
  OpaqueMatch is_named;
  is_named.name = name_of(expected.protocol, expected.set);
  is_named.is_stateless = true;
  rule.matches.emplace_back(std::move(is_named));
  rule.target = target;
  return rules;
}

size_t rule_count(const RuleSet& rules, Family family) {
  size_t count = 0;
  for (const Table& table : rules.tables) count += table.family == family ? table.rule_count() : 0;
  return count;
}

using Replaced = std::vector<std::pair<size_t, std::vector<Rule>>>;

/// Who else calls a tree may bring packets of another protocol.
bool are_called_once(const Chains& chains, const Replaced& replaced) {
  std::vector<size_t> calls(chains.size());
  for (size_t c = 0; c < chains.size(); ++c) {
    for (size_t i = 0; i < chains[c].rules.size(); ++i) {
      if (const size_t callee = chains.jump(c, i); callee != Chains::kNone) ++calls[callee];
    }
  }
  return std::ranges::all_of(replaced, [&](const auto& entry) { return calls[entry.first] == 1; });
}

/// The table with other rules in some chains (by index), and without the chains that nothing calls then.
Table with_replaced(const Chains& chains, Replaced replaced) {
  const Table& table = chains.table();
  std::vector<std::vector<Rule>*> other(chains.size());
  for (auto& [chain, rules] : replaced) other[chain] = &rules;
  std::vector<bool> is_called(chains.size());
  std::vector<size_t> open;
  const auto call = [&](size_t chain) {
    if (chain == Chains::kNone || is_called[chain]) return;
    is_called[chain] = true;
    open.push_back(chain);
  };
  const auto call_targets = [&](const std::vector<Rule>& rules) {
    for (const Rule& rule : rules) {
      if (const auto* jump = std::get_if<Jump>(&rule.target)) call(chains.find(jump->chain));
    }
  };
  for (size_t i = 0; i < chains.size(); ++i) {
    if (chains[i].is_builtin()) call(i);
  }
  while (!open.empty()) {
    const size_t chain = open.back();
    open.pop_back();
    call_targets(other[chain] != nullptr ? *other[chain] : chains[chain].rules);
  }
  Table result{table.family, table.name, {}};
  for (size_t i = 0; i < chains.size(); ++i) {
    if (!is_called[i]) continue;
    if (other[i] == nullptr) {
      result.chains.push_back(chains[i]);
    } else {
      result.chains.push_back({chains[i].name, std::nullopt, std::move(*other[i]), {}, kNoOrigin});
    }
  }
  return result;
}

}  // namespace

std::optional<ServiceCut> ServiceCut::find(Family family, const RuleSet& rules, const policy::Policy& policy) {
  const Table* filter = rules.find(family, TableName::kFilter);
  if (filter == nullptr || rule_count(rules, family) <= kFewRules) return std::nullopt;
  ServiceCut cut(family);
  if (family == Family::kIpv4 && policy.tor) cut.automap_ = policy.tor->automap;
  auto expected = expected_sets(family, policy, cut.automap_);
  if (!expected) return std::nullopt;

  const Chains chains(*filter);
  Replaced replaced;
  for (const std::string_view hook : {"OUTPUT", "INPUT"}) {
    const size_t start = chains.find(hook);
    if (start == Chains::kNone) continue;
    for (size_t i = 0; i < chains[start].rules.size(); ++i) {
      const HeaderTest& header = chains[start].rules[i].header;
      const size_t callee = chains.jump(start, i);
      if (callee == Chains::kNone || header.protocol_inverted || header.protocol == 0) continue;
      auto plain = read_plain_chain(chains, callee, header.protocol, hook == "OUTPUT");
      auto boxes = plain ? canonical(std::move(plain->boxes)) : std::nullopt;
      if (!boxes) continue;
      const auto same = std::ranges::find_if(*expected, [&](const Expected& e) {
        return e.protocol == header.protocol && e.hook == hook && e.boxes == *boxes;
      });
      if (same == expected->end()) continue;
      same->is_found = true;
      replaced.emplace_back(callee, stand_in(*same, family, cut.automap_, plain->target));
      cut.parts_.push_back({same->protocol, same->set, chains[callee].name});
    }
  }
  if (!std::ranges::all_of(*expected, &Expected::is_found)) return std::nullopt;
  if (!are_called_once(chains, replaced)) return std::nullopt;
  for (const Table& table : rules.tables) {
    if (table.family != family) continue;
    cut.rules_.tables.push_back(&table == filter ? with_replaced(chains, std::move(replaced)) : table);
    if (!is_destination_plain(cut.rules_.tables.back())) return std::nullopt;
  }
  return cut;
}

Meaning::Services ServiceCut::services(const Model& model) const {
  const PacketSpace& space = model.space();
  Bdd home = space.inside(space.layout().destination, home_of(family_));
  if (automap_) home -= space.inside(space.layout().destination, *automap_);
  Meaning::Services services;
  Bdd denied;
  for (const Part& part : parts_) {
    const Chain& chain = *rules_.find(family_, TableName::kFilter)->find(part.chain);
    const Bdd set = home & space.protocol(part.protocol) & model.unknown(chain.rules.back().matches.front());
    switch (part.set) {
      case ServiceSet::kGrants: services.grants |= set; break;
      case ServiceSet::kDenials: denied |= set; break;
      case ServiceSet::kPlaces: services.places |= set; break;
    }
  }
  services.grants -= denied;
  return services;
}

}  // namespace tails::proof
