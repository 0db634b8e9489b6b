// Services in the dispatch layout: from the policy's entries to the cells that `Dispatch` lays out.
#include <iterator>
#include <utility>

#include "policy/dispatch.h"
#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

/// Every allow and deny of every service of `family`. Origins are put into `rules` once a service.
std::vector<ServiceCell> service_cells(const Policy& policy, Family family, RuleSet& rules) {
  std::vector<ServiceCell> cells;
  for (const Service& service : policy.services) {
    if (service.at.family != family) continue;
    const OriginIndex origin = rules.intern(service.origin);
    for (const PortGrant& ports : with_dns_alias(policy, service)) {
      for (const User& user : service.deny) cells.push_back({user.uid, service.at, ports, {}, true, origin});
      if (!service.is_active) continue;
      for (const User& user : service.allow) {
        cells.push_back({user.uid, service.at, ports, service.from, false, origin});
      }
    }
  }
  return cells;
}

}  // namespace

std::vector<Chain> services_tree(const Policy& policy, Family family, RuleSet& rules) {
  return Dispatch(family, kLogRejectChain, kServicesChain).chains(service_cells(policy, family, rules));
}

std::vector<Chain> services_in_tree(const Policy& policy, RuleSet& rules) {
  std::vector<ServiceCell> cells = service_cells(policy, Family::kIpv6, rules);
  std::erase_if(cells, &ServiceCell::is_denied);
  return Dispatch(Family::kIpv6, kLogRejectChain, kServicesInChain).chains_for_anyone(std::move(cells));
}

void append(Table& table, std::vector<Chain> chains) {
  table.chains.insert(table.chains.end(), std::move_iterator(chains.begin()), std::move_iterator(chains.end()));
}

}  // namespace tails::policy
