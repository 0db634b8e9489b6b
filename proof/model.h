#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "proof/bdd.h"
#include "proof/fold.h"
#include "proof/interfaces.h"
#include "proof/packet_space.h"
#include "proof/unknowns.h"

namespace tails::proof {

/// Where filter rules see packets, in the order of questions and answers.
inline constexpr std::array kFilterHooks = {Hook::kOutput, Hook::kInput, Hook::kForward};

/// Rule sets of one family, ready to be asked about all packets. It holds the session: one at a time in a process, and
/// every `Bdd` that it gave must be gone before it is. Not movable, not thread-safe.
class Model {
 public:
  /// The rule sets must outlive the model unchanged. `names`: interfaces that later questions name and rules perhaps do
  /// not. With a `granularity` it answers whether a set is empty, but gives no examples.
  Model(Family family, std::span<const ruleset::RuleSet* const> sets, std::span<const InterfaceName> names,
        std::optional<Granularity> granularity = std::nullopt);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  [[nodiscard]] Family family() const { return space_.family(); }
  [[nodiscard]] const PacketSpace& space() const { return space_; }
  [[nodiscard]] size_t variables() const;
  /// Whether diagrams are of classes of values.
  [[nodiscard]] bool is_by_class() const { return granularity_.has_value(); }

  /// Packets for which a match that cannot be read (see Unknowns) says yes. The match is one of the sets' own.
  [[nodiscard]] Bdd unknown(const ruleset::Match& match) const { return Bdd::literal(unknowns_.of(match)); }

  /// The answers of `fold`, for packets that exist at `hook`. `rules` is one of the constructor's.
  [[nodiscard]] std::vector<Bdd> ask(const ruleset::RuleSet& rules, Hook hook,
                                     std::span<const Question> questions) const;
  [[nodiscard]] Bdd ask(const ruleset::RuleSet& rules, Hook hook, const Question& question) const;

  /// Packets that are in `set` whatever the answers to what cannot be read; and those that are for some answers.
  [[nodiscard]] Bdd surely(const Bdd& set) const { return set.for_all(unknown_variables_); }
  [[nodiscard]] Bdd possibly(const Bdd& set) const { return set.exists(unknown_variables_); }
  /// `set`, where no rule that only logs is held back by its rate limit.
  [[nodiscard]] Bdd without_log_limits(const Bdd& set) const { return set.restricted_to(log_limits_pass_); }

 private:
  std::optional<Granularity> granularity_;
  InterfaceClasses interfaces_;
  Unknowns unknowns_;
  BddSession session_;
  PacketSpace space_;
  Bdd unknown_variables_ = Bdd::always();
  Bdd log_limits_pass_ = Bdd::always();
};

}  // namespace tails::proof
