#pragma once

#include <string>
#include <vector>

#include "iptc/kernel/kernel.h"
#include "net/packet.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

/// States that a machine can be in before or after a transaction, and packets to tell them apart.
namespace tails::iptc {

struct State {
  std::string name;
  ruleset::RuleSet rules;
  std::optional<policy::Policy> policy;  ///< What the rules were lowered from; packets are made near it.
};

/// Open, the three profiles, lockdown, five random policies, and rule sets of other programs.
std::vector<State> all_states();
State state(std::string_view name);

/// `count` packets near the policies of both states, the same for the same seed.
std::vector<Packet> packets_near(const State& a, const State& b, size_t count, uint64_t seed);

/// Everything that is live, decoded.
ruleset::RuleSet read_all(kernel::Kernel& kernel);

}  // namespace tails::iptc
