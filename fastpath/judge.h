#pragma once

#include <cstdint>
#include <optional>

#include "fastpath/outcome.h"
#include "fastpath/wire_view.h"
#include "net/flow_model.h"
#include "net/wire.h"
#include "ruleset/evaluator.h"

namespace tails::fastpath {

/// The filter in slow and obvious: frame by frame, the flows in a map, every packet shown to the evaluator. Judge of
/// the pipeline in tests, and of captures. Not thread-safe. Keeps pointers to the rules.
class Judge {
 public:
  struct Ruling {
    Outcome outcome = Outcome::kBlocked;
    Verdict verdict = Verdict::kDrop;  ///< The rules'; for kAccepted and kBlocked only.
    ruleset::OriginIndex origin = ruleset::kNoOrigin;
    /// As the rules saw it; empty where the frame never came before them.
    std::optional<Packet> packet;
    bool is_cut = false;  ///< The capture does not hold enough to tell; `outcome` means nothing.
  };

  /// `rules` outlive the judge.
  Judge(const ruleset::RuleSet& rules, WireView view) : evaluator_(rules), view_(std::move(view)) {}

  /// Judges the frame; one that passes moves the flow it belongs to. Seconds never go back.
  Ruling judge(Side from, wire::Bytes frame, uint64_t now_seconds, const wire::ReadOptions& options = {});
  /// New rules: flows whose first packet they would not let through are forgotten.
  void set_rules(const ruleset::RuleSet& rules, WireView view);
  [[nodiscard]] size_t flows(uint64_t now_seconds) { return book_.expire(now_seconds); }

 private:
  Ruling judge_ip(Side from, wire::Bytes packet, uint8_t tag, uint64_t now_seconds, const wire::ReadOptions& options);
  [[nodiscard]] bool is_guest(uint8_t tag) const;
  [[nodiscard]] bool is_known(uint8_t tag) const;

  ruleset::Evaluator evaluator_;
  WireView view_;
  flow_model::FlowBook book_;
};

}  // namespace tails::fastpath
