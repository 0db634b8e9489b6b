// Services in the dispatch layout: from the policy's entries to the cells that `Dispatch` lays out, and the rules of
// the built-in chains that ask the trees.
#include <array>
#include <iterator>
#include <utility>

#include "policy/dispatch.h"
#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

enum class Kind : uint8_t { kGrants, kDenials };

struct TreeNames {
  uint8_t protocol;
  const char* grants;
  const char* denials;
  const char* from_outside;  ///< INPUT.
};
constexpr std::array kTrees = {TreeNames{protocol::kTcp, "lo-tcp", "no-tcp", "in-tcp"},
                               TreeNames{protocol::kUdp, "lo-udp", "no-udp", "in-udp"}};

/// In step with kTrees.
using CellsOfTrees = std::array<std::vector<ServiceCell>, kTrees.size()>;

/// Every allow (or deny) of every service of `family`. Origins are put into `rules`.
CellsOfTrees service_cells(const Policy& policy, Family family, Kind kind, RuleSet& rules) {
  CellsOfTrees cells;
  for (const Service& service : policy.services) {
    const bool is_denial = kind == Kind::kDenials;
    const std::vector<User>& users = is_denial ? service.deny : service.allow;
    if (service.at.family != family || users.empty() || (!is_denial && !service.is_active)) continue;
    const OriginIndex origin = rules.intern(service.origin);
    const auto add = [&](const PortGrant& grant) {
      // A denial holds whatever the source port.
      const std::span<const PortRange> from = is_denial ? std::span<const PortRange>() : service.from;
      std::vector<ServiceCell>& of_protocol = cells[grant.protocol == protocol::kTcp ? 0 : 1];
      for (const User& user : users) of_protocol.push_back({user.uid, service.at, grant.ports, from, origin});
    };
    for (const PortGrant& grant : service.ports) add(grant);
    if (const auto alias = dns_alias(policy, service)) add(*alias);
  }
  return cells;
}

void append(std::vector<Chain>& chains, std::vector<Chain> more) {
  chains.insert(chains.end(), std::move_iterator(more.begin()), std::move_iterator(more.end()));
}

/// What a packet of a protocol must be so that a grant counts.
Tests grantable(const Tests& tests, uint8_t number) {
  const Tests transport = tests.protocol(number);
  return (number == protocol::kTcp ? transport.match(tcp_syn()) : transport).state(grant_states(number));
}

}  // namespace

std::vector<Chain> add_services_out(const Policy& policy, Family family, const Tests& self, RuleSet& rules,
                                    ChainWriter& output) {
  std::vector<Chain> chains;
  // Denials before all grants: a denial beats any grant.
  CellsOfTrees denials = service_cells(policy, family, Kind::kDenials, rules);
  for (size_t i = 0; i < kTrees.size(); ++i) {
    const TreeNames& tree = kTrees[i];
    if (denials[i].empty()) continue;
    output.add(self.protocol(tree.protocol), Jump{tree.denials}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.denials, Jump{kLogRejectChain}).chains(std::move(denials[i])));
  }
  CellsOfTrees grants = service_cells(policy, family, Kind::kGrants, rules);
  for (size_t i = 0; i < kTrees.size(); ++i) {
    const TreeNames& tree = kTrees[i];
    if (grants[i].empty()) continue;
    output.add(grantable(self, tree.protocol), Jump{tree.grants}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.grants, Accept{}).chains(std::move(grants[i])));
  }
  return chains;
}

std::vector<Chain> add_services_in(const Policy& policy, Family family, const Tests& self, RuleSet& rules,
                                   ChainWriter& input) {
  std::vector<Chain> chains;
  CellsOfTrees grants = service_cells(policy, family, Kind::kGrants, rules);
  for (size_t i = 0; i < kTrees.size(); ++i) {
    const TreeNames& tree = kTrees[i];
    if (grants[i].empty()) continue;
    const Tests transport = self.protocol(tree.protocol);
    input.add((tree.protocol == protocol::kTcp ? transport.match(tcp_syn()) : transport).state(ConnState::kNew),
              Jump{tree.from_outside}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.from_outside, Accept{}).chains_for_anyone(std::move(grants[i])));
  }
  return chains;
}

void append(Table& table, std::vector<Chain> chains) { append(table.chains, std::move(chains)); }

}  // namespace tails::policy
