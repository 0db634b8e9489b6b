// filter of IPv6: between ::1 and ::1 by loopback, else nothing. In the plain layout no user chains, and every rule
// that is no LOG, REJECT or DROP names both addresses: upstream's acceptance checks ask for that.
#include <utility>

#include "policy/lowering.h"

namespace tails::policy {
namespace {

using namespace ruleset;

const Prefix kSelf = Prefix::host(kLoopbackV6);

void add_icmpv6(const Policy& policy, ChainWriter& chain, const Tests& self) {
  // Or a refused connect would hang: its ICMPv6 error has a state of its own.
  chain.add(self.protocol(protocol::kIcmpv6).state(ConnState::kEstablished | ConnState::kRelated), Accept{},
            policy.origin);
}

void add_plain_services_in(const Policy& policy, ChainWriter& chain, const Tests& self) {
  for (const Service& service : policy.services) {
    if (service.at != kLoopbackV6 || !service.is_active || service.allow.empty()) continue;
    for (const Transport& transport : transports(service.ports, service.from, Opening::kOnly)) {
      chain.add(self.transport(transport).state(ConnState::kNew), Accept{}, service.origin);
    }
  }
}

void add_plain_services_out(const Policy& policy, ChainWriter& chain, const Tests& self) {
  // Denials before grants, as in IPv4; without a chain of their own each is a log and an answer.
  for (const Service& service : policy.services) {
    if (service.at != kLoopbackV6) continue;
    for (const Transport& transport : transports(service.ports, {}, Opening::kAny)) {
      for (const User& user : service.deny) {
        add_blocking(chain, self.transport(transport).owner(user.uid), Family::kIpv6, policy.blocked, service.origin);
      }
    }
  }
  for (const Service& service : policy.services) {
    if (service.at != kLoopbackV6 || !service.is_active) continue;
    for (const Transport& transport : transports(service.ports, service.from, Opening::kOnly)) {
      for (const User& user : service.allow) {
        chain.add(self.transport(transport).owner(user.uid).state(grant_states(transport.protocol)), Accept{},
                  service.origin);
      }
    }
  }
}

std::vector<Chain> lower_input(const Policy& policy, Layout layout, RuleSet& rules, ChainWriter& chain) {
  const Tests self = Tests().in(kLoopbackInterface).from(kSelf).to(kSelf);
  chain.add(self.state(ConnState::kEstablished), Accept{}, policy.origin);
  add_icmpv6(policy, chain, self);
  if (layout == Layout::kDispatch) return add_services_in(policy, Family::kIpv6, self, rules, chain);
  add_plain_services_in(policy, chain, self);
  return {};
}

std::vector<Chain> lower_output(const Policy& policy, Layout layout, RuleSet& rules, ChainWriter& chain) {
  const Tests self = Tests().out(kLoopbackInterface).from(kSelf).to(kSelf);
  chain.add(self.protocol(protocol::kTcp).match(tcp_syn(true)).state(ConnState::kEstablished), Accept{}, policy.origin);
  ConntrackMatch answer;
  answer.direction = Direction::kReply;
  chain.add(self.not_protocol(protocol::kTcp).state(ConnState::kEstablished).match(answer), Accept{}, policy.origin);
  add_icmpv6(policy, chain, self);
  std::vector<Chain> trees;
  if (layout == Layout::kDispatch) {
    trees = add_services_out(policy, Family::kIpv6, self, rules, chain);
  } else {
    add_plain_services_out(policy, chain, self);
  }
  add_blocking(chain, Tests(), Family::kIpv6, policy.blocked, policy.blocked.origin);
  return trees;
}

}  // namespace

void lower_ipv6(const Policy& policy, Layout layout, RuleSet& rules, Table& filter) {
  ChainWriter input(rules, *filter.find("INPUT"));
  std::vector<Chain> trees_in = lower_input(policy, layout, rules, input);
  ChainWriter output(rules, *filter.find("OUTPUT"));
  std::vector<Chain> trees_out = lower_output(policy, layout, rules, output);
  if (layout != Layout::kDispatch) return;

  // Only now may chains be added: the writers above point into the table.
  Chain log_reject{kLogRejectChain, std::nullopt, {}, {}, kNoOrigin};
  ChainWriter blocking(rules, log_reject);
  add_blocking(blocking, Tests(), Family::kIpv6, policy.blocked, policy.blocked.origin);
  filter.chains.push_back(std::move(log_reject));
  append(filter, std::move(trees_out));
  append(filter, std::move(trees_in));
}

}  // namespace tails::policy
