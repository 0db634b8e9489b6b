#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fastpath/classifier.h"
#include "fastpath/cost_model.h"
#include "fastpath/flow_table.h"
#include "fastpath/kernels.h"
#include "fastpath/wire_rules.h"
#include "net/result.h"

namespace tails::fastpath {

/// A rule set ready to filter with: classifiers built, and everything small that is looked up per packet in tables.
/// Immutable, shared by all lcores.
class FilterRules {
 public:
  /// Fails as `compile` does. `acl` offers rte_acl where there is one. `structure`, for tests and benches: classifies
  /// by this one wherever it can serve, whatever it costs; by default the cost model chooses.
  static Result<std::shared_ptr<const FilterRules>> make(const ruleset::RuleSet& rules, const WireView& view,
                                                         const AclMaker& acl = {},
                                                         std::optional<Classifier::Structure> structure = std::nullopt);

  /// What depends on where a packet comes from.
  struct Direction {
    ParseTables tables{};
    std::vector<uint16_t> heads;  ///< By an owner's offset + kStates · class of kinds + StateIndex.
    std::unique_ptr<Classifier> classifier;
  };

  [[nodiscard]] const WireRules& wire() const { return wire_; }
  [[nodiscard]] const Direction& direction(Side from) const { return directions_[static_cast<size_t>(from)]; }
  /// Index of the heads for such packets of the owner: the one of the state kNew.
  [[nodiscard]] uint16_t base(Side from, uint8_t owner, uint8_t protocol, uint8_t tcp_flags, uint8_t icmp_type,
                              uint8_t icmp_code) const;
  /// By VerdictId: Verdict as a number.
  [[nodiscard]] const std::vector<uint8_t>& verdict_kind() const { return verdict_kind_; }
  /// By a flow's owner: what it adds to an index of heads for the answers to it. A guest's answers are forwarded to the
  /// guest, all others are for the machine.
  [[nodiscard]] const std::array<uint16_t, OwnerTag::kCount>& answered_offset() const { return answered_offset_; }
  [[nodiscard]] bool knows(uint8_t tag) const { return (wire_.known_tags >> tag & 1) != 0; }

  /// Whether these rules would have let the flow's first packet through.
  [[nodiscard]] bool would_open(const FlowEntry& flow) const;

 private:
  explicit FilterRules(WireRules wire) : wire_(std::move(wire)) {}

  WireRules wire_;
  std::array<Direction, 2> directions_;
  std::vector<uint8_t> verdict_kind_;
  std::array<uint16_t, OwnerTag::kCount> answered_offset_{};
};

}  // namespace tails::fastpath
