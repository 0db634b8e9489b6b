#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/policy.h"
#include "proof/meaning.h"
#include "proof/model.h"
#include "proof/service_boxes.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// Very many services cut out of a proof. Where a tree of chains does one thing to exactly the packets that the
/// policy's services name, it is replaced by one rule that asks for "what the services name": a variable that can be
/// true of any packet. What holds for all its values holds for the services, and rules and policy are small without
/// them.
///
/// That the tree means the services is shown beforehand, box by box (see boxes.h).
class ServiceCut {
 public:
  /// For the tables of one family. Nullopt where some set of services has no such tree, where a packet's destination
  /// may be rewritten to what cannot be read, or where the rules are so few that they need no cut. Then nothing is
  /// wrong yet; the proof takes all rules.
  static std::optional<ServiceCut> find(Family family, const ruleset::RuleSet& rules, const policy::Policy& policy);

  /// The family's tables without the trees. Stays where it is until the cut is destroyed.
  [[nodiscard]] const ruleset::RuleSet& rules() const { return rules_; }
  /// What Meaning takes for the services; `model` is one of rules().
  [[nodiscard]] Meaning::Services services(const Model& model) const;

 private:
  struct Part {
    uint8_t protocol;
    ServiceSet set;
    std::string chain;  ///< Of filter; its last rule asks for the set.
  };

  explicit ServiceCut(Family family) : family_(family) {}

  Family family_;
  std::optional<Prefix> automap_;
  ruleset::RuleSet rules_;
  std::vector<Part> parts_;
};

}  // namespace tails::proof
