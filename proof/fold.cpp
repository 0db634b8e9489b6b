#include "proof/fold.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <utility>
#include <variant>

#include "proof/chains.h"
#include "proof/rule_predicates.h"
#include "ruleset/traversal.h"

namespace tails::proof {
namespace {

using namespace ruleset;

/// One answer for each question.
using Values = std::vector<Bdd>;

NatAction action_of(const Redirect& target, Family family, Hook hook) {
  NatAction action{NatAction::Kind::kDestination, std::nullopt, std::nullopt, target.ports};
  // In PREROUTING it would be the incoming interface's own address, which nobody can read from a packet.
  if (hook == Hook::kOutput) action.address = action.last = family == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
  return action;
}
NatAction action_of(const Dnat& target) {
  return {NatAction::Kind::kDestination, target.first, target.last ? target.last : target.first, target.ports};
}
NatAction action_of(const Masquerade& target) {
  return {NatAction::Kind::kSource, std::nullopt, std::nullopt, target.ports};
}

/// Folds one built-in chain and what it calls. In here Values carry one more than there are questions, at the back: "it
/// comes out of the chain at hand".
class ChainFold {
 public:
  /// `after`: the answers for a packet that this table accepts.
  ChainFold(const Table& table, const Stop& stop, const PacketSpace& space, const Unknowns& unknowns, Hook hook,
            std::span<const Question> questions, Values after)
      : chains_(table),
        stop_(stop),
        space_(space),
        unknowns_(unknowns),
        predicates_(space, unknowns, hook),
        hook_(hook),
        questions_(questions),
        after_(std::move(after)),
        summaries_(chains_.size()),
        is_open_(chains_.size()) {
    after_.emplace_back();
  }

  Values enter() {
    const size_t start = chains_.find(stop_.chain);
    if (start != Chains::kNone) {
      summarise(start);
      const RuleRef policy{&chains_.table(), &chains_[start], RuleRef::kPolicy};
      after_ =
          run(start, policy.chain->policy == ChainPolicy::kDrop ? ended(policy, Verdict::kDrop) : accepted(policy));
    }
    after_.pop_back();
    return std::move(after_);
  }

 private:
  /// Calls within calls that are followed: each costs stack.
  static constexpr int kDeepestCall = 1000;

  [[nodiscard]] Values nothing() const { return Values(questions_.size() + 1); }

  [[nodiscard]] Values ended(const RuleRef& by, Verdict verdict) const {
    Values values = nothing();
    for (size_t i = 0; i < questions_.size(); ++i) {
      const Question& q = questions_[i];
      const bool is_so = (q.kind == Question::Kind::kRejected && verdict == Verdict::kReject) ||
                         (q.kind == Question::Kind::kDecidedBy && q.names(by));
      if (is_so) values[i] = Bdd::always();
    }
    return values;
  }

  /// A packet that this table accepts goes on. Its verdict is the filter's, unless a later table ends it.
  [[nodiscard]] Values accepted(const RuleRef& by) const {
    Values values = after_;
    if (stop_.table != TableName::kFilter) return values;
    for (size_t i = 0; i < questions_.size(); ++i) {
      if (questions_[i].kind == Question::Kind::kDecidedBy && questions_[i].names(by)) values[i] |= after_[0];
    }
    return values;
  }

  [[nodiscard]] Values translated(Values values, const NatAction& action) const {
    for (size_t i = 0; i < questions_.size(); ++i) {
      const Question& q = questions_[i];
      const bool is_so = (q.kind == Question::Kind::kTranslated && q.action == action) ||
                         (q.kind == Question::Kind::kRedirected && action.kind == NatAction::Kind::kDestination);
      if (is_so) values[i] = Bdd::always();
    }
    return values;
  }

  [[nodiscard]] Values sent(const RuleRef& by, const Rule& rule, const NatAction& action) const {
    if (!is_destination_nat(stop_)) return accepted(by);
    Values values = accepted(by);
    const bool is_one = action.address == action.last && (!action.ports || action.ports->first == action.ports->last);
    if (is_one) {
      PacketSpace::Destination to{action.address, std::nullopt, false};
      if (action.ports) to.port = action.ports->first;
      to.becomes_local = hook_ == Hook::kOutput && to.address && kLoopbackNetV4.contains(*to.address);
      for (Bdd& value : values) value = space_.with_destination(value, to);
    } else {
      Bdd possible = Bdd::always();
      Bdd fields = Bdd::always();
      if (action.ports) {
        possible = space_.ports(space_.layout().destination_port, *action.ports);
        fields = space_.all_of(space_.layout().destination_port);
      }
      if (action.address) {
        possible &= space_.between(space_.layout().destination, *action.address, *action.last);
        fields &= space_.all_of(space_.layout().destination);
      }
      values = with_any(values, possible, fields, rule);
    }
    return translated(std::move(values), action);
  }

  /// The answers where `fields` get values that nobody knows, of those in `possible`.
  [[nodiscard]] Values with_any(Values values, const Bdd& possible, const Bdd& fields, const Rule& rule) const {
    const int variable = unknowns_.of_target(rule) + 2;
    for (size_t i = 0; i < questions_.size(); ++i) {
      const Bdd some = (values[i] & possible).exists(fields);
      const Bdd all = (values[i] | ~possible).for_all(fields);
      values[i] = all | (some & Bdd::literal(variable + static_cast<int>(i)));
      if (questions_[i].kind == Question::Kind::kRejected && questions_[0].kind == Question::Kind::kAccepted) {
        values[i] -= values[0];
      }
    }
    return values;
  }

  /// From the last rule to the first; `at_end`: the answers for a packet that comes out of the chain.
  Values run(size_t index, const Values& at_end) {
    const Chain& chain = chains_[index];
    Values next = at_end;
    for (size_t i = chain.rules.size(); i-- > 0;) {
      const Rule& rule = chain.rules[i];
      if (std::holds_alternative<Continue>(rule.target)) continue;
      const RuleRef ref{&chains_.table(), &chain, i};
      const Values then = std::visit(Actor{*this, ref, rule, chains_.jump(index, i), next, at_end}, rule.target);
      if (then == next) continue;
      const Bdd matches = predicates_.of(rule);
      for (size_t k = 0; k < next.size(); ++k) next[k] = Bdd::choose(matches, then[k], next[k]);
    }
    return next;
  }

  /// `at_end`: the answers for what comes out of the called chain.
  Values call(size_t index, const Values& at_end) {
    if (chains_.may_change_packet(index)) return call_in_place(index, at_end);
    Values values = summaries_[index];
    const Bdd comes_out = std::exchange(values.back(), {});
    for (size_t i = 0; i < values.size(); ++i) values[i] |= comes_out & at_end[i];
    return values;
  }

  /// The rules behind the call see the packet as the chain changed it, so the chain is folded where it stands.
  Values call_in_place(size_t index, const Values& at_end) {
    if (is_open_[index]) return nothing();  // a circle
    if (depth_ > kDeepestCall) {
      BddSession::give_up();
      return nothing();
    }
    std::vector<int> key{static_cast<int>(index)};
    for (const Bdd& value : at_end) key.push_back(value.id());
    if (const auto at = folded_.find(key); at != folded_.end()) return at->second.second;
    is_open_[index] = true;
    ++depth_;
    Values values = run(index, at_end);
    --depth_;
    is_open_[index] = false;
    folded_.emplace(std::move(key), std::pair(at_end, values));  // at_end keeps the key's numbers alive
    return values;
  }

  /// Chains that call each other in a circle are folded again and again until nothing new comes out: what still goes
  /// round then goes round for ever.
  void summarise(size_t start) {
    Values comes_out = nothing();
    comes_out.back() = Bdd::always();
    for (const Chains::Group& group : chains_.called_first(start)) {
      for (const size_t chain : group.chains) summaries_[chain] = nothing();
      for (bool grows = true; grows;) {
        grows = false;
        for (const size_t chain : group.chains) {
          if (chain == start || chains_.may_change_packet(chain)) continue;
          Values values = run(chain, comes_out);
          grows |= group.is_circle && values != summaries_[chain];
          summaries_[chain] = std::move(values);
        }
      }
    }
  }

  /// What a rule that matches does.
  struct Actor {
    ChainFold& fold;
    const RuleRef& ref;
    const Rule& rule;
    size_t jump;
    const Values& next;    ///< The answers at the next rule.
    const Values& at_end;  ///< The answers at the end of the chain.

    Values operator()(const Accept&) const { return fold.accepted(ref); }
    Values operator()(const Drop&) const { return fold.ended(ref, Verdict::kDrop); }
    Values operator()(const Reject&) const { return fold.ended(ref, Verdict::kReject); }
    Values operator()(const Return&) const { return at_end; }
    Values operator()(const Continue&) const { return next; }
    Values operator()(const Jump& target) const {
      if (jump == Chains::kNone) return next;  // only a text can name a chain that is not there
      return fold.call(jump, target.is_goto ? at_end : next);
    }
    Values operator()(const Log&) const { return logged(); }
    Values operator()(const Nflog&) const { return logged(); }
    Values operator()(const Redirect& target) const {
      return fold.sent(ref, rule, action_of(target, fold.space_.family(), fold.hook_));
    }
    Values operator()(const Dnat& target) const { return fold.sent(ref, rule, action_of(target)); }
    Values operator()(const Masquerade& target) const {
      const bool gives_source = fold.stop_.table == TableName::kNat && fold.stop_.chain == "POSTROUTING";
      const Values values = fold.accepted(ref);
      return gives_source ? fold.translated(values, action_of(target)) : values;
    }
    Values operator()(const SetMark& target) const {
      return changed([&](const Bdd& set) { return fold.space_.with_mark(set, target); });
    }
    Values operator()(const SetConnmark& target) const {
      return changed([&](const Bdd& set) { return fold.space_.with_connmark(set, target); });
    }
    Values operator()(const SetDscp& target) const {
      const Bdd dscp = fold.space_.equals(fold.space_.layout().dscp, target.dscp);
      return changed([&](const Bdd& set) { return set.restricted_to(dscp); });
    }
    Values operator()(const OpaqueTarget&) const {
      const Bdd fields = fold.space_.rewritable();
      const Bdd possible = fold.space_.domain(fold.hook_);
      const Values accepts = fold.with_any(fold.accepted(ref), possible, fields, rule);
      const Values drops = fold.ended(ref, Verdict::kDrop);
      const Values goes_on = fold.with_any(next, possible, fields, rule);
      const int first = fold.unknowns_.of_target(rule);
      Values values = fold.nothing();
      for (size_t i = 0; i < values.size(); ++i) {
        const Bdd not_accepted = Bdd::choose(Bdd::literal(first + 1), drops[i], goes_on[i]);
        values[i] = Bdd::choose(Bdd::literal(first), accepts[i], not_accepted);
      }
      return values;
    }

    [[nodiscard]] Values logged() const {
      Values values = next;
      for (size_t i = 0; i < fold.questions_.size(); ++i) {
        if (fold.questions_[i].kind == Question::Kind::kLogged) values[i] = Bdd::always();
      }
      return values;
    }
    template <class Change>
    [[nodiscard]] Values changed(const Change& change) const {
      Values values = next;
      for (Bdd& value : values) value = change(value);
      return values;
    }
  };

  Chains chains_;
  Stop stop_;
  const PacketSpace& space_;
  const Unknowns& unknowns_;
  RulePredicates predicates_;
  Hook hook_;
  std::span<const Question> questions_;
  Values after_;
  std::vector<Values> summaries_;  ///< By chain: the answers where a packet ends in it, and last where it comes out.
  std::vector<bool> is_open_;
  std::map<std::vector<int>, std::pair<Values, Values>> folded_;
  int depth_ = 0;
};

/// One packet's way from stop `from` to the end, for all packets.
class WayFold {
 public:
  WayFold(const RuleSet& rules, const PacketSpace& space, const Unknowns& unknowns, Hook hook)
      : rules_(rules), space_(space), unknowns_(unknowns), hook_(hook) {}

  [[nodiscard]] Values at_the_end(std::span<const Question> questions) const {
    const bool has_filter = rules_.find(space_.family(), TableName::kFilter) != nullptr;
    Values values(questions.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const Question& q = questions[i];
      if (q.kind == Question::Kind::kAccepted) values[i] = q.among;
      if (q.kind == Question::Kind::kDecidedBy && q.names({}) && !has_filter) values[i] = Bdd::always();
    }
    return values;
  }

  /// The answers before the stops, from those behind them.
  [[nodiscard]] Values back_through(std::span<const Stop> stops, std::span<const Question> questions,
                                    Values values) const {
    for (size_t i = stops.size(); i-- > 0;) values = back_through(stops[i], questions, std::move(values));
    return values;
  }

 private:
  [[nodiscard]] Values back_through(const Stop& stop, std::span<const Question> questions, Values values) const {
    const Table* table = rules_.find(space_.family(), stop.table);
    const auto through_chain = [&](Values after) {
      if (table == nullptr) return after;
      return ChainFold(*table, stop, space_, unknowns_, hook_, questions, std::move(after)).enter();
    };
    if (stop.table != TableName::kNat) return through_chain(std::move(values));
    // nat is asked for packets that open a flow; to the others the kernel does what it did to their flow's first one.
    Values known = values;
    if (is_destination_nat(stop)) {
      const Bdd has_recorded = space_.has_recorded() & space_.has_flow() & space_.direction(Direction::kOriginal);
      for (Bdd& value : known) value = Bdd::choose(has_recorded, space_.with_recorded_destination(value), value);
    }
    values = through_chain(std::move(values));
    for (size_t i = 0; i < values.size(); ++i) values[i] = Bdd::choose(space_.opens_flow(), values[i], known[i]);
    return values;
  }

  const RuleSet& rules_;
  const PacketSpace& space_;
  const Unknowns& unknowns_;
  Hook hook_;
};

/// Whether the packet that leaves the last of these stops is the one that came to the first.
bool leave_packets_alone(std::span<const Stop> stops, const RuleSet& rules, Family family) {
  return std::ranges::all_of(stops, [&](const Stop& stop) {
    const Table* table = rules.find(family, stop.table);
    if (table == nullptr) return true;
    const Chains chains(*table);
    const size_t chain = chains.find(stop.chain);
    return chain == Chains::kNone || !chains.may_change_packet(chain);
  });
}

}  // namespace

bool Question::names(const RuleRef& rule) const { return std::ranges::find(rules, rule) != rules.end(); }

std::vector<Bdd> fold(const RuleSet& rules, const PacketSpace& space, const Unknowns& unknowns, Hook hook,
                      std::span<const Question> questions) {
  assert(questions.size() <= kMaxQuestions);
  const WayFold way_fold(rules, space, unknowns, hook);
  const std::span<const Stop> way = way_of(hook);
  const size_t nat = static_cast<size_t>(std::ranges::find_if(way, is_destination_nat) - way.begin());
  const std::span<const Stop> behind_nat = way.subspan(nat + 1);
  if (!leave_packets_alone(behind_nat, rules, space.family())) {
    return way_fold.back_through(way, questions, way_fold.at_the_end(questions));
  }
  // Behind nat a packet stays as it is. So all questions about what is accepted are one there, which counts: the filter
  // is the long table.
  std::vector<Question> fewer;
  std::vector<size_t> place;
  std::optional<size_t> accepted;
  for (const Question& question : questions) {
    if (question.kind == Question::Kind::kAccepted && accepted) {
      place.push_back(*accepted);
      continue;
    }
    if (question.kind == Question::Kind::kAccepted) accepted = fewer.size();
    place.push_back(fewer.size());
    fewer.push_back(question);
    if (question.kind == Question::Kind::kAccepted) fewer.back().among = Bdd::always();
  }
  const Values filtered = way_fold.back_through(behind_nat, fewer, way_fold.at_the_end(fewer));
  // Most often none of what is asked about is accepted: that takes one look at the large set, not one for each
  // question.
  Bdd among_any;
  for (const Question& question : questions) {
    if (!question.among.is_always()) among_any |= question.among;
  }
  const Bdd interesting = accepted ? filtered[*accepted] & among_any : Bdd();
  Values values;
  for (size_t i = 0; i < questions.size(); ++i) {
    const bool is_narrowed = questions[i].kind == Question::Kind::kAccepted && !questions[i].among.is_always();
    values.push_back(is_narrowed ? interesting & questions[i].among : filtered[place[i]]);
  }
  return way_fold.back_through(way.first(nat + 1), questions, std::move(values));
}

std::vector<NatAction> nat_actions(const RuleSet& rules, Family family, Hook hook) {
  std::vector<NatAction> actions;
  const Table* table = rules.find(family, TableName::kNat);
  if (table == nullptr) return actions;
  const auto add = [&](const NatAction& action) {
    if (std::ranges::find(actions, action) == actions.end()) actions.push_back(action);
  };
  for (const Chain& chain : table->chains) {
    for (const Rule& rule : chain.rules) {
      if (const auto* redirect = std::get_if<Redirect>(&rule.target)) add(action_of(*redirect, family, hook));
      if (const auto* dnat = std::get_if<Dnat>(&rule.target)) add(action_of(*dnat));
      if (const auto* masquerade = std::get_if<Masquerade>(&rule.target)) add(action_of(*masquerade));
    }
  }
  return actions;
}

}  // namespace tails::proof
