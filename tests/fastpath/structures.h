#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fastpath/classifier.h"
#include "fastpath/wire_rules.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"
#include "tests/policy/dice.h"

/// Every structure that the cost model can choose, beside the evaluator.
namespace tails::fastpath {

#ifdef TAILS_HAS_DPDK
inline constexpr size_t kAcl = 1;
#else
inline constexpr size_t kAcl = 0;
#endif

/// rte_acl for the way, in an environment without devices, huge pages or files. Nullptr where DPDK is not at hand.
std::unique_ptr<Classifier> acl_of(const Way& way);

/// What a comparison found.
struct Comparison {
  std::vector<Classifier::Structure> structures;  ///< That could hold the rules; each was asked about every packet.
  size_t packets = 0;
  std::optional<std::string> difference;  ///< The first packet of which one of them said something else, and what.
};

/// Asks the evaluator, and every structure that can hold the rules, about `packets` packets near them. Verdict and
/// origin must be the same. Stops at the first difference; also where the rules cannot be compiled.
Comparison compare_structures(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed, size_t packets);

/// The view of a machine whose owners have the policy's tags.
WireView view_of(const policy::Policy& policy);

/// A random policy with `entries` more: networks of the LAN, closed ports, direct users with their grants, services.
policy::Policy large_policy(testing::Dice& dice, size_t entries);

/// Tags 1 to 8 for as many users.
WireView eight_users();

/// `count` rules, each a grant to (or a refusal of) one of eight_users for a random network and random ports: unlike
/// policies, no two owners share anything. `crowded` of a hundred lie in one /16, and are small: the deep parts of an
/// address index are used. The other networks are at least as long as `shortest_prefix`. With `sources` every tenth
/// looks at the source's address or ports too: then only rte_acl and the scan can hold them.
ruleset::RuleSet random_grants(testing::Dice& dice, size_t count, unsigned crowded, unsigned shortest_prefix,
                               bool sources = false);

}  // namespace tails::fastpath
