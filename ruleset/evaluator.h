#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "net/packet.h"
#include "ruleset/rule_set.h"

namespace tails::ruleset {

/// One rule that a packet met on its way. `certain` is false where an unreadable match was before it.
struct Step {
  RuleRef rule;
  bool certain = true;
};

/// What happens to a packet, and why.
struct Evaluation {
  Verdict verdict = Verdict::kDrop;
  /// The rule or policy that gave the verdict; of several possible ones (kUnknown), the first. In the table
  /// that ended the packet's way: for kAccept the last filter chain that was asked.
  RuleRef decided_by;
  /// Where nat (REDIRECT, DNAT) sent it; empty where the destination stayed or is not certain.
  /// What a known flow's packets get (Packet::recorded_nat) is an input and not repeated here.
  std::optional<Endpoint> redirected_to;
  /// Whether a LOG or NFLOG rule counted it. kUnknown behind an unreadable match and behind `-m limit`.
  Tristate logged = Tristate::kNo;
  /// The first rule whose match or target could not be read and on which the packet's fate may depend.
  std::optional<RuleRef> depends_on;
  /// Every rule that matched, in order; filled by `explain` only.
  std::vector<Step> steps;
};

class IndexedRules;

/// The reference for what a rule set does to one packet: slow, obvious, the judge of everything faster.
///
/// As the kernel does it (net/ipv4/netfilter/ip_tables.c, nf_nat_core.c):
/// 1. Locally made: raw, mangle, nat OUTPUT, filter, security OUTPUT, mangle and nat POSTROUTING. For this machine:
///    raw, mangle, nat PREROUTING, mangle, filter, security, nat INPUT. Passing: PREROUTING, FORWARD, POSTROUTING.
/// 2. nat is asked only for packets that open a flow; others get what their flow got (Packet::recorded_nat).
/// 3. A redirected packet keeps its output interface in filter OUTPUT.
/// 4. What cannot be read (OpaqueMatch, OpaqueTarget, limit, TCP options, supplementary groups) "may or may not":
///    both ways are followed, and the verdict is kUnknown where they differ.
/// 5. REDIRECT in PREROUTING goes to the incoming interface's own address, which a packet does not tell:
///    the destination keeps its address there and only the port changes.
/// Not modelled: routing after mangle changed a mark, IPsec, bridges.
///
/// Thread-safe after construction. Keeps a pointer to `rules`, which must outlive it unchanged.
class Evaluator {
 public:
  explicit Evaluator(const RuleSet& rules);
  Evaluator(Evaluator&&) noexcept;
  Evaluator& operator=(Evaluator&&) noexcept;
  ~Evaluator();

  [[nodiscard]] Evaluation evaluate(const Packet& packet) const;
  /// The same with `steps`.
  [[nodiscard]] Evaluation explain(const Packet& packet) const;

 private:
  std::unique_ptr<const IndexedRules> rules_;
};

}  // namespace tails::ruleset
