// Services in the dispatch layout: from the policy's entries to the cells that `Dispatch` lays out, and the rules of
// the built-in chains that ask the trees.
#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "policy/dispatch.h"
#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

enum class Kind : uint8_t { kGrants, kDenials };

/// Every allow (or deny) of every service of `family` for one protocol. Origins are put into `rules`.
std::vector<ServiceCell> service_cells(const Policy& policy, Family family, uint8_t number, Kind kind, RuleSet& rules) {
  std::vector<ServiceCell> cells;
  cells.reserve(policy.services.size());
  for (const Service& service : policy.services) {
    const bool is_denial = kind == Kind::kDenials;
    const std::vector<User>& users = is_denial ? service.deny : service.allow;
    if (service.at.family != family || users.empty() || (!is_denial && !service.is_active)) continue;
    const OriginIndex origin = rules.intern(service.origin);
    const auto add = [&](const PortGrant& grant) {
      if (grant.protocol != number) return;
      // A denial holds whatever the source port.
      const std::span<const PortRange> from = is_denial ? std::span<const PortRange>() : service.from;
      for (const User& user : users) cells.push_back({user.uid, service.at, grant.ports, from, origin});
    };
    for (const PortGrant& grant : service.ports) add(grant);
    if (const auto alias = dns_alias(policy, service)) add(*alias);
  }
  return cells;
}

struct TreeNames {
  uint8_t protocol;
  const char* grants;
  const char* denials;
  const char* from_outside;  ///< INPUT.
};
constexpr std::array kTrees = {TreeNames{protocol::kTcp, "lo-tcp", "no-tcp", "in-tcp"},
                               TreeNames{protocol::kUdp, "lo-udp", "no-udp", "in-udp"}};

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
  for (const TreeNames& tree : kTrees) {
    auto cells = service_cells(policy, family, tree.protocol, Kind::kDenials, rules);
    if (cells.empty()) continue;
    output.add(self.protocol(tree.protocol), Jump{tree.denials}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.denials, Jump{kLogRejectChain}).chains(std::move(cells)));
  }
  for (const TreeNames& tree : kTrees) {
    auto cells = service_cells(policy, family, tree.protocol, Kind::kGrants, rules);
    if (cells.empty()) continue;
    output.add(grantable(self, tree.protocol), Jump{tree.grants}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.grants, Accept{}).chains(std::move(cells)));
  }
  return chains;
}

std::vector<Chain> add_services_in(const Policy& policy, Family family, const Tests& self, RuleSet& rules,
                                   ChainWriter& input) {
  std::vector<Chain> chains;
  for (const TreeNames& tree : kTrees) {
    auto cells = service_cells(policy, family, tree.protocol, Kind::kGrants, rules);
    if (cells.empty()) continue;
    const Tests transport = self.protocol(tree.protocol);
    input.add((tree.protocol == protocol::kTcp ? transport.match(tcp_syn()) : transport).state(ConnState::kNew),
              Jump{tree.from_outside}, policy.origin);
    append(chains, Dispatch(tree.protocol, tree.from_outside, Accept{}).chains_for_anyone(std::move(cells)));
  }
  return chains;
}

void append(Table& table, std::vector<Chain> chains) { append(table.chains, std::move(chains)); }

}  // namespace tails::policy
