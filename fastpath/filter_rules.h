#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fastpath/classifier.h"
#include "fastpath/cost_model.h"
#include "fastpath/flow_table.h"
#include "fastpath/wire_rules.h"
#include "net/result.h"

namespace tails::fastpath {

/// What a packet's protocol, flags, ICMP type and code amount to, once looked up.
struct Trait {
  uint8_t event = 0;         ///< flow_model::Event.
  uint16_t kind_offset = 0;  ///< What its kind adds to an index of FilterRules::heads.
};

/// A rule set ready to filter with: classifiers built, and everything small that is looked up per packet in tables.
/// Immutable, shared by all lcores.
class FilterRules {
 public:
  /// Fails as `compile` does. `acl` offers rte_acl where there is one.
  static Result<std::shared_ptr<const FilterRules>> make(const ruleset::RuleSet& rules, const WireView& view,
                                                         const AclMaker& acl = {});

  /// What depends on where a packet comes from.
  struct Direction {
    std::array<uint16_t, OwnerTag::kCount> owner_offset{};  ///< By owner: where its heads begin.
    std::vector<uint16_t> heads;                            ///< By owner_offset + kind_offset + StateIndex.
    std::array<Trait, 256> tcp;                             ///< By flags.
    Trait udp;
    std::unique_ptr<Classifier> classifier;
  };

  [[nodiscard]] const WireRules& wire() const { return wire_; }
  [[nodiscard]] const Direction& direction(Side from) const { return directions_[static_cast<size_t>(from)]; }
  [[nodiscard]] Trait trait(Side from, uint8_t protocol, uint8_t tcp_flags, uint8_t icmp_type, uint8_t icmp_code) const;
  /// By VerdictId: Verdict as a number.
  [[nodiscard]] const std::vector<uint8_t>& verdict_kind() const { return verdict_kind_; }
  /// By tag: the owner as whom an answer from the outside is judged; a guest's own tag, else 0.
  [[nodiscard]] const std::array<uint8_t, OwnerTag::kCount>& answered_owner() const { return answered_owner_; }
  [[nodiscard]] bool knows(uint8_t tag) const { return (wire_.known_tags >> tag & 1) != 0; }

  /// Whether these rules would have let the flow's first packet through.
  [[nodiscard]] bool would_open(const FlowEntry& flow) const;

 private:
  explicit FilterRules(WireRules wire) : wire_(std::move(wire)) {}

  WireRules wire_;
  std::array<Direction, 2> directions_;
  std::vector<uint8_t> verdict_kind_;
  std::array<uint8_t, OwnerTag::kCount> answered_owner_{};
};

}  // namespace tails::fastpath
