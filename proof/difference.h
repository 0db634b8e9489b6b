#pragma once

#include <cstdint>
#include <vector>

#include "net/packet.h"
#include "net/result.h"
#include "proof/witness.h"
#include "ruleset/evaluator.h"
#include "ruleset/rule_set.h"

namespace tails::proof {

/// A class of packets to which two rule sets do different things, by one of its packets.
struct Difference {
  enum class Kind : uint8_t {
    kVerdict,      ///< Other verdicts.
    kDestination,  ///< Both accept it, and send it to different destinations.
    kSource,       ///< Both accept it, and only one masquerades it (or both, with different ports).
    kUnknown,      ///< It may be any of these, and depends on what cannot be read (Evaluation::depends_on).
  };

  Kind kind = Kind::kVerdict;
  Packet packet;
  ruleset::Evaluation a;  ///< With steps. Refers to the rule sets that were compared.
  ruleset::Evaluation b;
};

struct Comparison {
  std::vector<Difference> differences;  ///< At most as many as were asked for.
  bool has_more = false;

  [[nodiscard]] bool is_same() const { return differences.empty(); }
};

/// Compares what two rule sets do to every packet: verdict, destination, masquerading. Order and chains do not matter,
/// nor do logs and marks that nothing tests. A match that cannot be read counts as the same where the same rule has it
/// on both sides (see Unknowns).
///
/// Differences that one rule (or one entry of a policy: rules of one origin) makes on the side that lets packets
/// through are one class (where both do, a rule of each); so is everything that only one side masquerades. The same is
/// listed whichever side is `a`. IPv4 comes before IPv6, OUTPUT before INPUT
/// before FORWARD.
///
/// Fails with kRefused when the diagrams outgrow BddSession::kMaxNodes. Not thread-safe: BuDDy is one per process.
Result<Comparison> compare(const ruleset::RuleSet& a, const ruleset::RuleSet& b, const Familiar& familiar,
                           size_t most = 20);

}  // namespace tails::proof
