#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/packet.h"
#include "net/result.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// What came of one leak property.
struct Finding {
  std::string_view property;  ///< Static storage: a name of `properties`.
  /// kUnknown: it depends on a match or target that nobody can read.
  Tristate holds = Tristate::kYes;
  /// Unless it holds: a packet that gets through (or is refused, logged, … other than it should be), as plain as can
  /// be. Absent where no packet shows it: a chain's policy that no packet reaches.
  std::optional<Packet> counterexample;
  /// The rule or chain policy that decides that packet; with kUnknown the one that it depends on. Of the rule set that
  /// was given.
  ruleset::RuleRef rule;
  std::string
      fact;  ///< What is wrong, as a clause: "the rules accept it, the policy says reject". Empty when it holds.
};

/// The leak properties of a rule set under a policy.
struct Proof {
  std::vector<Finding> findings;  ///< In the order of `properties`.
  std::vector<std::string>
      notes;  ///< What a reader should know of these rules: chains in a circle, tables that are open.

  /// Whether every property surely holds.
  [[nodiscard]] bool holds() const;
};

/// A name and what it claims, as a sentence.
struct PropertyName {
  std::string_view name;
  std::string_view claim;
};
/// The sixteen properties in their order. Static storage.
const std::vector<PropertyName>& properties();

/// What every proof takes for granted, as sentences. Static storage.
const std::vector<std::string_view>& assumptions();

/// Proves the leak properties for all packets that the host's rules may meet, of both families. For every
/// counterexample ruleset::Evaluator says of these rules what the finding says (asserted).
///
/// Most rules that are proved are right, so holds_by_class is asked first.
///
/// Fails with kRefused when the diagrams outgrow BddSession::kMaxNodes. Not thread-safe: BuDDy is one per process.
Result<Proof> prove(const ruleset::RuleSet& rules, const policy::Policy& policy);

/// True: every property surely holds. Quick, because numbers that neither rules nor policy tell apart are one class
/// (see granularity.h), and because very many services are cut out (see service_cut.h). False says nothing: something
/// fails, is in doubt, or needs a closer look.
bool holds_by_class(const ruleset::RuleSet& rules, const policy::Policy& policy);
/// The closer look: `prove` with every bit of every packet.
Result<Proof> prove_by_packet(const ruleset::RuleSet& rules, const policy::Policy& policy);

}  // namespace tails::proof
