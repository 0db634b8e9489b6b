#include "ruleset/evaluator.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>

#include "ruleset/rule_test.h"
#include "ruleset/traversal.h"

namespace tails::ruleset {
namespace {

/// A table with its jumps resolved to chain indices.
struct IndexedTable {
  static constexpr size_t kNone = static_cast<size_t>(-1);

  explicit IndexedTable(const Table& source) : table(&source), jumps(source.chains.size()) {
    for (size_t i = 0; i < source.chains.size(); ++i) by_name.emplace(source.chains[i].name, i);
    for (size_t c = 0; c < source.chains.size(); ++c) {
      for (const Rule& rule : source.chains[c].rules) {
        const auto* jump = std::get_if<Jump>(&rule.target);
        jumps[c].push_back(jump == nullptr ? kNone : find(jump->chain));
      }
    }
  }

  [[nodiscard]] size_t find(std::string_view chain) const {
    const auto at = by_name.find(chain);
    return at == by_name.end() ? kNone : at->second;
  }

  const Table* table;
  std::unordered_map<std::string_view, size_t> by_name;
  std::vector<std::vector<size_t>> jumps;  ///< By chain and rule: index of the chain jumped to, or kNone.
};

}  // namespace

/// A rule set with its jumps resolved. Keeps pointers into it.
class IndexedRules {
 public:
  explicit IndexedRules(const RuleSet& rules) {
    for (const Table& table : rules.tables) tables_.emplace_back(table);
  }

  [[nodiscard]] const IndexedTable* find(Family family, TableName name) const {
    const auto at = std::ranges::find_if(
        tables_, [&](const IndexedTable& t) { return t.table->family == family && t.table->name == name; });
    return at == tables_.end() ? nullptr : &*at;
  }

 private:
  std::vector<IndexedTable> tables_;
};

namespace {

/// Whether a packet comes out of a chain without a verdict.
enum class Passes : uint8_t { kNever, kPerhaps, kAlways };

/// What a rule that matches does to the packet's way through the chain.
enum class Effect : uint8_t {
  kContinues,
  kEnds,           ///< A verdict of this table.
  kMayEnd,         ///< Perhaps a verdict, perhaps the next rule.
  kLeaves,         ///< Back to the caller.
  kMayEndOrLeave,  ///< Perhaps a verdict, perhaps back to the caller.
};

/// One packet's way through one built-in chain and whatever it calls. "Certain" below means: a packet that
/// enters the chain surely gets there; where it only may (behind an unreadable match), both ways are followed.
class Passage {
 public:
  Passage(const IndexedTable& table, Traveller& traveller, Evaluation& result, bool arrives_certainly, bool wants_steps)
      : table_(table),
        traveller_(traveller),
        result_(result),
        arrives_certainly_(arrives_certainly),
        wants_steps_(wants_steps) {}

  void enter(size_t chain_index) {
    const Passes passes = run(chain_index, true, 0);
    if (passes == Passes::kNever) return;
    const Chain& chain = table_.table->chains[chain_index];
    const RuleRef policy{table_.table, &chain, RuleRef::kPolicy};
    if (chain.policy == ChainPolicy::kDrop) {
      end(Verdict::kDrop, policy);
    } else {
      end(Verdict::kAccept, policy);
    }
  }

  /// The first rule or policy for each verdict that this chain may give.
  std::array<std::optional<RuleRef>, 3> endings;
  [[nodiscard]] const std::optional<RuleRef>& ending(Verdict verdict) const {
    return endings.at(static_cast<size_t>(verdict));
  }

  /// Destinations that nat may give, and whether it surely gives one of them. Of a range the kernel picks one by a
  /// hash.
  struct Destination {
    Endpoint first;
    bool is_range = false;
    RuleRef rule;
  };
  std::vector<Destination> destinations;
  bool sends_certainly = false;

 private:
  void end(Verdict verdict, const RuleRef& rule) {
    auto& first = endings.at(static_cast<size_t>(verdict));
    if (!first) first = rule;
  }

  void depend_on(const RuleRef& rule) {
    if (!result_.depends_on) result_.depends_on = rule;
  }

  Passes run(size_t chain_index, bool certain, size_t depth) {
    // The kernel refuses loops; a text may have one. Nothing ever comes out of a loop.
    if (depth > table_.table->chains.size()) return Passes::kNever;
    const Chain& chain = table_.table->chains[chain_index];
    bool may_end = false;
    bool may_leave = false;
    const auto passes = [&](bool gets_to_the_end) {
      if (!gets_to_the_end && !may_leave) return Passes::kNever;
      return may_end ? Passes::kPerhaps : Passes::kAlways;
    };
    for (size_t i = 0; i < chain.rules.size(); ++i) {
      const Rule& rule = chain.rules[i];
      const Tristate match = test(rule, traveller_);
      if (match == Tristate::kNo) continue;
      const RuleRef ref{table_.table, &chain, i};
      const bool acts_certainly = certain && match == Tristate::kYes;
      if (wants_steps_) result_.steps.push_back({ref, arrives_certainly_ && acts_certainly});
      if (match == Tristate::kUnknown && !only_counts(rule.target)) depend_on(ref);

      const Effect effect = act(rule.target, table_.jumps[chain_index][i], ref, acts_certainly, depth);
      if (effect == Effect::kContinues) continue;
      may_end |= effect != Effect::kLeaves;
      may_leave |= effect == Effect::kLeaves || effect == Effect::kMayEndOrLeave;
      if (match == Tristate::kYes && effect != Effect::kMayEnd) return passes(false);
      certain = false;
    }
    return passes(true);
  }

  /// A rule that only counts or logs decides nothing, so nothing depends on whether it matches.
  static bool only_counts(const Target& target) {
    return std::holds_alternative<Log>(target) || std::holds_alternative<Nflog>(target) ||
           std::holds_alternative<Continue>(target);
  }

  Effect act(const Target& target, size_t jump, const RuleRef& ref, bool certain, size_t depth) {
    return std::visit(Actor{*this, ref, jump, certain, depth}, target);
  }

  struct Actor {
    Passage& passage;
    const RuleRef& ref;
    size_t jump;
    bool certain;
    size_t depth;

    Effect operator()(const Accept&) const { return end(Verdict::kAccept); }
    Effect operator()(const Drop&) const { return end(Verdict::kDrop); }
    Effect operator()(const Reject&) const { return end(Verdict::kReject); }
    Effect operator()(const Return&) const { return Effect::kLeaves; }
    Effect operator()(const Continue&) const { return Effect::kContinues; }

    Effect operator()(const Jump& target) const {
      if (jump == IndexedTable::kNone) {  // only a text can name a chain that is not there
        passage.depend_on(ref);
        return Effect::kContinues;
      }
      switch (passage.run(jump, certain, depth + 1)) {
        case Passes::kNever: return Effect::kEnds;
        case Passes::kPerhaps: return target.is_goto ? Effect::kMayEndOrLeave : Effect::kMayEnd;
        case Passes::kAlways: return target.is_goto ? Effect::kLeaves : Effect::kContinues;
      }
      return Effect::kEnds;
    }

    Effect operator()(const Log&) const { return log(); }
    Effect operator()(const Nflog&) const { return log(); }

    Effect operator()(const Redirect& target) const {
      const Packet& packet = passage.traveller_.packet;
      Endpoint to{packet.destination, target.ports ? target.ports->first : packet.destination_port};
      if (packet.hook == Hook::kOutput) to.address = packet.family() == Family::kIpv4 ? kLoopbackV4 : kLoopbackV6;
      return send_to(to, is_range(target.ports));
    }
    Effect operator()(const Dnat& target) const {
      const Packet& packet = passage.traveller_.packet;
      return send_to(
          {target.first.value_or(packet.destination), target.ports ? target.ports->first : packet.destination_port},
          target.first != target.last || is_range(target.ports));
    }
    Effect operator()(const Masquerade&) const { return end(Verdict::kAccept); }

    Effect operator()(const SetMark& target) const {
      Traveller& t = passage.traveller_;
      t.is_mark_known &= certain;
      t.packet.mark.value = (t.packet.mark.value & ~target.mask) ^ target.value;
      return Effect::kContinues;
    }
    Effect operator()(const SetConnmark& target) const {
      Traveller& t = passage.traveller_;
      if (!has_flow(t.packet)) return Effect::kContinues;  // connmark_tg: no flow, no mark
      uint32_t& mark = t.packet.mark.value;
      uint32_t& connmark = t.packet.connmark.value;
      switch (target.mode) {
        case SetConnmark::Mode::kSet:
          t.is_connmark_known &= certain;
          connmark = (connmark & ~target.ctmask) ^ target.value;
          break;
        case SetConnmark::Mode::kSave:
          t.is_connmark_known &= certain && t.is_mark_known;
          connmark = (connmark & ~target.ctmask) ^ (mark & target.nfmask);
          break;
        case SetConnmark::Mode::kRestore:
          t.is_mark_known &= certain && t.is_connmark_known;
          mark = (mark & ~target.nfmask) ^ (connmark & target.ctmask);
          break;
      }
      return Effect::kContinues;
    }
    Effect operator()(const SetDscp& target) const {
      passage.traveller_.is_dscp_known &= certain;
      passage.traveller_.packet.dscp = target.dscp;
      return Effect::kContinues;
    }

    Effect operator()(const OpaqueTarget&) const {
      Traveller& t = passage.traveller_;
      t.is_mark_known = t.is_connmark_known = t.is_dscp_known = t.is_header_known = false;
      passage.depend_on(ref);
      passage.end(Verdict::kAccept, ref);
      passage.end(Verdict::kDrop, ref);
      return Effect::kMayEnd;
    }

    [[nodiscard]] Effect end(Verdict verdict) const {
      passage.end(verdict, ref);
      return Effect::kEnds;
    }
    [[nodiscard]] static bool is_range(const std::optional<PortRange>& ports) {
      return ports && ports->first != ports->last;
    }
    [[nodiscard]] Effect send_to(const Endpoint& destination, bool is_range) const {
      passage.destinations.push_back({destination, is_range, ref});
      passage.sends_certainly |= certain;
      return end(Verdict::kAccept);
    }
    [[nodiscard]] Effect log() const {
      Tristate& logged = passage.result_.logged;
      if (certain && passage.arrives_certainly_) {
        logged = Tristate::kYes;
      } else if (logged == Tristate::kNo) {
        logged = Tristate::kUnknown;
      }
      return Effect::kContinues;
    }
  };

  const IndexedTable& table_;
  Traveller& traveller_;
  Evaluation& result_;
  bool arrives_certainly_;  ///< In this table at all.
  bool wants_steps_;
};

/// A packet's whole way: table after table.
class Walk {
 public:
  Walk(const IndexedRules& rules, Evaluation& result, bool wants_steps)
      : rules_(rules), result_(result), wants_steps_(wants_steps) {}

  void go(std::span<const Stop> way, Traveller traveller, RuleRef filter_accept, bool certain) {
    for (size_t i = 0; i < way.size(); ++i) {
      const Stop& stop = way[i];
      Packet& packet = traveller.packet;
      if (stop.table == TableName::kNat && !packet.opens_flow()) {
        // The kernel does to a known flow's packets what it did to the first one.
        if (is_destination_nat(stop) && has_flow(packet) && packet.direction == Direction::kOriginal) {
          set_destination(packet, packet.recorded_nat.value_or(Endpoint{packet.destination, packet.destination_port}));
        }
        continue;
      }
      const IndexedTable* table = rules_.find(packet.family(), stop.table);
      const size_t chain = table == nullptr ? IndexedTable::kNone : table->find(stop.chain);
      if (chain == IndexedTable::kNone) continue;

      Passage passage(*table, traveller, result_, certain, wants_steps_);
      passage.enter(chain);
      for (const Verdict verdict : {Verdict::kReject, Verdict::kDrop}) {
        if (passage.ending(verdict)) end(verdict, *passage.ending(verdict));
      }
      if (!passage.ending(Verdict::kAccept)) return;
      certain = certain && !passage.ending(Verdict::kReject) && !passage.ending(Verdict::kDrop);
      if (stop.table == TableName::kFilter) filter_accept = *passage.ending(Verdict::kAccept);
      if (is_destination_nat(stop) && !passage.destinations.empty()) {
        go_to_each(passage, way.subspan(i + 1), traveller, filter_accept, certain);
        return;
      }
    }
    end(Verdict::kAccept, filter_accept);
  }

  /// Every verdict that may be the packet's, with its rule, in the order they were met.
  std::vector<std::pair<Verdict, RuleRef>> endings;

 private:
  void end(Verdict verdict, const RuleRef& rule) {
    if (std::ranges::none_of(endings, [&](const auto& e) { return e.first == verdict; })) {
      endings.emplace_back(verdict, rule);
    }
  }

  static void set_destination(Packet& packet, const Endpoint& to) {
    packet.destination = to.address;
    packet.destination_port = to.port;
  }

  /// Goes on with each destination that nat may have given. One, given by the only rule that can match, is certain.
  void go_to_each(const Passage& passage, std::span<const Stop> rest, const Traveller& traveller,
                  const RuleRef& filter_accept, bool certain) {
    const bool may_stay = !passage.sends_certainly;
    const bool is_one = passage.destinations.size() == 1 && !may_stay && !passage.destinations.front().is_range;
    if (is_one) result_.redirected_to = passage.destinations.front().first;
    for (const Passage::Destination& destination : passage.destinations) {
      Traveller sent = traveller;
      set_destination(sent.packet, destination.first);
      if (sent.packet.hook == Hook::kOutput && kLoopbackNetV4.contains(destination.first.address)) {
        sent.packet.destination_type = AddressType::kLocal;
      }
      if (destination.is_range) {
        sent.is_header_known = false;
        if (!result_.depends_on) result_.depends_on = destination.rule;
      }
      go(rest, sent, filter_accept, certain && is_one);
    }
    if (may_stay) go(rest, traveller, filter_accept, false);
  }

  const IndexedRules& rules_;
  Evaluation& result_;
  bool wants_steps_;
};

Evaluation walk(const IndexedRules& rules, const Packet& packet, bool wants_steps) {
  Evaluation result;
  Walk walk(rules, result, wants_steps);
  walk.go(way_of(packet.hook), Traveller{packet}, RuleRef{}, true);
  // Only a packet that loops forever in a text's chains has no ending: it gets nowhere.
  if (walk.endings.empty()) return result;
  result.decided_by = walk.endings.front().second;
  result.verdict = walk.endings.size() == 1 ? walk.endings.front().first : Verdict::kUnknown;
  if (walk.endings.size() == 1 && result.logged != Tristate::kUnknown) result.depends_on.reset();
  return result;
}

}  // namespace

Evaluator::Evaluator(const RuleSet& rules) : rules_(std::make_unique<const IndexedRules>(rules)) {}
Evaluator::Evaluator(Evaluator&&) noexcept = default;
Evaluator& Evaluator::operator=(Evaluator&&) noexcept = default;
Evaluator::~Evaluator() = default;

Evaluation Evaluator::evaluate(const Packet& packet) const { return walk(*rules_, packet, false); }
Evaluation Evaluator::explain(const Packet& packet) const { return walk(*rules_, packet, true); }

}  // namespace tails::ruleset
