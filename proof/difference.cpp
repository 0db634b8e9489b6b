#include "proof/difference.h"

#include <algorithm>
#include <array>
#include <utility>

#include "proof/model.h"

namespace tails::proof {
namespace {

using namespace ruleset;

/// What one rule set does to all packets at a hook.
struct Side {
  struct Translation {
    NatAction action;
    Bdd packets;
  };

  Bdd accepted;
  Bdd rejected;
  std::vector<Translation> translations;  ///< Each action once, disjoint among those of one kind.
};

Side side_of(const Model& model, const RuleSet& rules, Hook hook) {
  const std::vector<NatAction> actions = nat_actions(rules, model.family(), hook);
  std::vector<Question> questions = {Question::accepted(), Question::rejected()};
  Side side;
  size_t next = 0;
  do {  // as many actions at once as a fold takes
    questions.resize(next == 0 ? 2 : 1);
    const size_t first = next;
    const size_t offset = questions.size();
    while (next < actions.size() && questions.size() < kMaxQuestions) {
      questions.push_back(Question::translated(actions[next++]));
    }
    const std::vector<Bdd> answers = model.ask(rules, hook, questions);
    if (first == 0) {
      side.accepted = answers[0];
      side.rejected = answers[1];
    }
    for (size_t i = first; i < next; ++i) {
      if (!answers[offset + i - first].is_never())
        side.translations.push_back({actions[i], answers[offset + i - first]});
    }
  } while (next < actions.size());
  return side;
}

/// The packets that the first of two actions sends where the second does. `nullptr`: they keep their destination.
Bdd same_destination(const PacketSpace& space, const NatAction* a, const NatAction* b) {
  if (a == nullptr && b == nullptr) return Bdd::always();
  if (a != nullptr && b != nullptr && *a == *b) return Bdd::always();
  const Layout& l = space.layout();
  const auto is_range = [](const NatAction* action) {
    return action != nullptr &&
           (action->address != action->last || (action->ports && action->ports->first != action->ports->last));
  };
  if (is_range(a) || is_range(b)) return {};  // nobody knows which of them it takes
  const auto address = [](const NatAction* action) { return action == nullptr ? std::nullopt : action->address; };
  const auto port = [](const NatAction* action) {
    return action == nullptr || !action->ports ? std::nullopt : std::optional(action->ports->first);
  };
  Bdd same = Bdd::always();
  if (address(a) != address(b)) {
    if (address(a) && address(b)) return {};
    same = space.inside(l.destination, Prefix::host(address(a) ? *address(a) : *address(b)));
  }
  if (port(a) != port(b)) {
    if (port(a) && port(b)) return {};
    same &= space.equals(l.destination_port, port(a) ? *port(a) : *port(b));
  }
  return same;
}

/// Finds the differences of one family.
class FamilyComparison {
 public:
  FamilyComparison(Family family, const RuleSet& a, const RuleSet& b, const Familiar& familiar, size_t most,
                   Comparison& comparison)
      : a_(a),
        b_(b),
        evaluator_a_(a),
        evaluator_b_(b),
        familiar_(familiar),
        most_(most),
        comparison_(comparison),
        model_(family, std::array{&a, &b}, {}) {}

  void run() {
    for (const Hook hook : kFilterHooks) compare_hook(hook);
  }

 private:
  using Kind = Difference::Kind;

  void compare_hook(Hook hook) {
    const Side a = side_of(model_, a_, hook);
    const Side b = side_of(model_, b_, hook);
    const Bdd verdict = (a.accepted ^ b.accepted) | (a.rejected ^ b.rejected);
    const Bdd both = a.accepted & b.accepted;
    const Bdd destination = both & translated_differently(a, b, NatAction::Kind::kDestination);
    const Bdd source = both & translated_differently(a, b, NatAction::Kind::kSource);
    const Bdd sure_verdict = plausible(model_.surely(verdict), hook);
    const Bdd sure_destination = plausible(model_.surely(destination), hook) - sure_verdict;
    const Bdd sure_source = plausible(model_.surely(source), hook) - sure_verdict - sure_destination;
    const Bdd sure = sure_verdict | sure_destination | sure_source;
    const Bdd doubtful = plausible(model_.possibly(verdict | destination | source), hook) - sure;
    const auto by_rule = [&](const Difference& difference) { return class_of(difference, hook); };
    list(sure_verdict, hook, Kind::kVerdict, by_rule);
    list(sure_destination, hook, Kind::kDestination, by_rule);
    // One line for all that the one masquerades and the other does not, whichever rules let it pass.
    list(sure_source, hook, Kind::kSource,
         [&](const Difference& difference) { return same_source(a, difference) & same_source(b, difference); });
    list(doubtful, hook, Kind::kUnknown, by_rule);
  }

  [[nodiscard]] Bdd plausible(const Bdd& set, Hook hook) const { return model_.space().plausible_among(set, hook); }

  [[nodiscard]] Bdd translated_differently(const Side& a, const Side& b, NatAction::Kind kind) const {
    Bdd any_a;
    Bdd any_b;
    Bdd same;
    for (const auto& [action, packets] : a.translations) {
      if (action.kind == kind) any_a |= packets;
    }
    for (const auto& [action, packets] : b.translations) {
      if (action.kind == kind) any_b |= packets;
      for (const auto& other : a.translations) {
        if (action.kind != kind || other.action.kind != kind) continue;
        if (kind == NatAction::Kind::kSource) {
          if (action == other.action) same |= packets & other.packets;
        } else if (const Bdd meet = packets & other.packets; !meet.is_never()) {
          same |= meet & same_destination(model_.space(), &other.action, &action);
        }
      }
    }
    if (kind == NatAction::Kind::kDestination) {
      for (const auto& [action, packets] : a.translations) {
        if (action.kind == kind) same |= (packets - any_b) & same_destination(model_.space(), &action, nullptr);
      }
      for (const auto& [action, packets] : b.translations) {
        if (action.kind == kind) same |= (packets - any_a) & same_destination(model_.space(), nullptr, &action);
      }
    }
    return (any_a | any_b) - same;
  }

  /// The packets whose source one side translates as it does the example's.
  [[nodiscard]] Bdd same_source(const Side& side, const Difference& difference) const {
    const std::vector<bool> at = model_.space().assignment(difference.packet, model_.variables());
    Bdd same = Bdd::always();
    for (const auto& [action, packets] : side.translations) {
      if (action.kind == NatAction::Kind::kSource) same &= packets.at(at) ? packets : ~packets;
    }
    return same;
  }

  /// Takes class after class out of `set`.
  template <class ClassOf>
  void list(Bdd set, Hook hook, Kind kind, const ClassOf& class_of) {
    while (!set.is_never() && !BddSession::is_exhausted()) {
      if (comparison_.differences.size() == most_) {
        comparison_.has_more = true;
        return;
      }
      Difference difference;
      difference.kind = kind;
      difference.packet = plainest(set, model_.space(), hook, familiar_);
      difference.a = evaluator_a_.explain(difference.packet);
      difference.b = evaluator_b_.explain(difference.packet);
      const Bdd rest = set - class_of(difference);
      const std::vector<bool> at = model_.space().assignment(difference.packet, model_.variables());
      const bool is_new = !rest.at(at);
      comparison_.differences.push_back(std::move(difference));
      // Behind a doubt the example's class may not hold the example itself; then the reader has seen enough of this
      // set.
      if (!is_new) {
        comparison_.has_more = true;
        return;
      }
      set = rest;
    }
  }

  /// All packets with these two verdicts that the same rule decides on the side that lets more through; the same rules
  /// of both sides, where both let them through. Which side is named first must not matter.
  [[nodiscard]] Bdd class_of(const Difference& difference, Hook hook) const {
    const Verdict a = difference.a.verdict;
    const Verdict b = difference.b.verdict;
    Bdd same =
        decided(a_, hook, difference.a, a == Verdict::kAccept) & decided(b_, hook, difference.b, b == Verdict::kAccept);
    return model_.possibly(same);
  }

  /// The packets of one rule set with the evaluation's verdict; where `by_rule`, those that the rules of the same
  /// origin decide.
  [[nodiscard]] Bdd decided(const RuleSet& rules, Hook hook, const Evaluation& evaluation, bool by_rule) const {
    std::vector<Question> questions = {Question::accepted(), Question::rejected()};
    if (by_rule) questions.push_back(Question::decided_by(same_origin(rules, evaluation.decided_by)));
    const std::vector<Bdd> answers = model_.ask(rules, hook, questions);
    Bdd set = Bdd::always();
    if (evaluation.verdict == Verdict::kAccept) set = answers[0];
    if (evaluation.verdict == Verdict::kReject) set = answers[1];
    if (evaluation.verdict == Verdict::kDrop) set = ~(answers[0] | answers[1]);
    return by_rule ? set & answers[2] : set;
  }

  [[nodiscard]] std::vector<RuleRef> same_origin(const RuleSet& rules, const RuleRef& rule) const {
    const Origin* origin = rules.origin(rule.origin());
    if (origin == nullptr) return {rule};
    std::vector<RuleRef> list;
    for (const Table& table : rules.tables) {
      if (table.family != model_.family()) continue;
      for (const Chain& chain : table.chains) {
        const auto add = [&](size_t index) {
          const RuleRef ref{&table, &chain, index};
          // By value: one entry may stand in the list of origins more than once.
          const Origin* other = rules.origin(ref.origin());
          if (other != nullptr && *other == *origin) list.push_back(ref);
        };
        if (chain.is_builtin()) add(RuleRef::kPolicy);
        for (size_t i = 0; i < chain.rules.size(); ++i) add(i);
      }
    }
    return list;
  }

  const RuleSet& a_;
  const RuleSet& b_;
  Evaluator evaluator_a_;
  Evaluator evaluator_b_;
  const Familiar& familiar_;
  size_t most_;
  Comparison& comparison_;
  Model model_;
};

}  // namespace

Result<Comparison> compare(const RuleSet& a, const RuleSet& b, const Familiar& familiar, size_t most) {
  Comparison comparison;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    FamilyComparison(family, a, b, familiar, most, comparison).run();
    if (BddSession::is_exhausted()) {
      return fail(ErrorKind::kRefused, "the rules are too many or too tangled to be compared",
                  "The decision diagrams outgrew their limit of memory.");
    }
  }
  return comparison;
}

}  // namespace tails::proof
