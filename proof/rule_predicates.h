#pragma once

#include "proof/packet_space.h"
#include "proof/unknowns.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// The packets at one hook that a rule matches, as ruleset/rule_test.h tests one packet. What cannot be read is a
/// variable of its own.
class RulePredicates {
 public:
  /// Keeps pointers to both.
  RulePredicates(const PacketSpace& space, const Unknowns& unknowns, Hook hook);

  /// `rule` is one of the rule sets that `unknowns` has seen.
  [[nodiscard]] Bdd of(const ruleset::Rule& rule) const;

 private:
  const PacketSpace* space_;
  const Unknowns* unknowns_;
  Hook hook_;
  Bdd has_ports_;
  Bdd has_flow_;
  Bdd not_fragment_;
};

}  // namespace tails::proof
