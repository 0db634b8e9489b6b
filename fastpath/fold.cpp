#include "fastpath/fold.h"

#include <algorithm>
#include <cassert>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "ruleset/text_writer.h"

namespace tails::fastpath {
namespace {

using namespace ruleset;

constexpr uint32_t kNil = 0;

/// Lists as chains of cells that share their tails, so that a new first line costs nothing but itself.
struct Cell {
  Line line;
  uint32_t tail = kNil;
  uint64_t hash = 0;  ///< Of the line and all behind it.
};

uint64_t mix(uint64_t a, uint64_t b) {
  a ^= b * 0x9E3779B97F4A7C15U;
  a ^= a >> 29;
  a *= 0xBF58476D1CE4E5B9U;
  return a ^ a >> 32;
}

uint64_t hash_of(const Line& line, uint64_t tail) {
  uint64_t h = mix(tail, uint64_t{line.who} << 16 | line.verdict);
  h = mix(h, uint64_t{line.first_port} << 48 | uint64_t{line.last_port} << 32 | uint64_t{line.first_source_port} << 16 |
                 line.last_source_port);
  return mix(h, uint64_t{line.first_source} << 32 | line.last_source);
}

/// Folds one table's chains from the last rule to the first: at any moment `list_of(interval)` is what the rules behind
/// the current one decide.
///
/// Intervals with the same past share a class, so a rule for every address touches each class once.
class Folder {
 public:
  Folder(const Table& table, const Kinds& kinds, VerdictTable& verdicts, std::vector<uint32_t> starts, uint64_t owners)
      : table_(table), kinds_(kinds), verdicts_(verdicts), starts_(std::move(starts)), owners_(owners) {
    cells_.emplace_back();  // nil
    class_of_.assign(starts_.size(), 0);
    classes_.push_back({kNil, static_cast<uint32_t>(starts_.size())});
    for (size_t i = 0; i < table_.chains.size(); ++i) chain_index_.emplace(table_.chains[i].name, i);
  }

  /// Puts one hook's rules before everything else, for the owners that meet it.
  Result<void> add(const Standpoint& here, std::string_view chain_name) {
    const Chain* chain = table_.find(chain_name);
    if (chain == nullptr) return {};
    Condition all;
    all.owners = here.owners;
    all.kinds = kinds_.all();
    all.states = kAllStates;
    const bool drops = chain->policy == ChainPolicy::kDrop;
    prepend(all, verdicts_.intern({drops ? Verdict::kDrop : Verdict::kAccept, chain->origin}));
    return fold_chain(here, *chain, all, 0);
  }

  [[nodiscard]] Lists finish() {
    Lists result;
    result.whos = whos_;
    result.owners = owners_;
    std::unordered_multimap<uint64_t, uint32_t> by_hash;
    std::vector<uint32_t> list_of_class(classes_.size(), kUnset);
    for (size_t i = 0; i < starts_.size(); ++i) {
      uint32_t& list = list_of_class[class_of_[i]];
      if (list == kUnset) list = materialise(classes_[class_of_[i]].list, by_hash, result.lists);
      if (!result.list_of.empty() && result.list_of.back() == list) continue;
      result.starts.push_back(starts_[i]);
      result.list_of.push_back(list);
    }
    return result;
  }

 private:
  static constexpr uint32_t kUnset = 0xFFFFFFFF;
  /// Far beyond what memory and a filter's patience allow; a text with exponentially many ways ends here.
  static constexpr size_t kMaxCells = size_t{1} << 26;

  struct Class {
    uint32_t list = kNil;
    uint32_t intervals = 0;  ///< 0: the number is free.
  };
  /// The lists of all intervals at one moment.
  struct Snapshot {
    std::vector<uint32_t> class_of;
    std::vector<Class> classes;
    [[nodiscard]] uint32_t list(size_t interval) const { return classes[class_of[interval]].list; }
  };

  [[nodiscard]] std::string name(const Chain& chain, size_t rule) const {
    return write_rule(RuleRef{&table_, &chain, rule});
  }
  [[nodiscard]] Result<void> refuse(const Chain& chain, size_t rule, std::string_view why) const {
    return fail(ErrorKind::kRejected,
                "the wire filter cannot enforce \"" + name(chain, rule) + "\": " + std::string(why));
  }

  Result<void> fold_chain(const Standpoint& here, const Chain& chain, const Condition& entering, size_t depth) {
    if (depth > table_.chains.size()) {
      return fail(ErrorKind::kRejected, "the wire filter cannot enforce chain \"" + chain.name + "\": it loops");
    }
    const bool needs_continuation = std::ranges::any_of(chain.rules, [](const Rule& rule) {
      const auto* jump = std::get_if<Jump>(&rule.target);
      return std::holds_alternative<Return>(rule.target) || (jump != nullptr && jump->is_goto);
    });
    Snapshot continuation;
    if (needs_continuation) continuation = {class_of_, classes_};

    for (size_t i = chain.rules.size(); i-- > 0;) {
      const Rule& rule = chain.rules[i];
      if (only_counts(rule.target)) continue;
      if (!can_meet(here, rule)) continue;
      auto matching = conditions(here, kinds_, rule);
      if (!matching) return refuse(chain, i, std::string("it tests ") + matching.error());
      // Alternatives stand in order, so the last goes in first.
      for (size_t a = matching->size(); a-- > 0;) {
        Condition& condition = (*matching)[a];
        condition.intersect(entering);
        if (condition.is_empty()) continue;
        const Actor actor{*this, here, chain, i, condition, continuation, depth};
        if (auto done = std::visit(actor, rule.target); !done) return done;
        if (cells_.size() > kMaxCells) {
          return fail(ErrorKind::kRejected, "the wire filter cannot enforce the rules: they branch too often");
        }
      }
    }
    return {};
  }

  static bool only_counts(const Target& target) {
    return std::holds_alternative<Continue>(target) || std::holds_alternative<Log>(target) ||
           std::holds_alternative<Nflog>(target) || std::holds_alternative<SetMark>(target) ||
           std::holds_alternative<SetConnmark>(target) || std::holds_alternative<SetDscp>(target);
  }

  /// What the rule's target does to the packets of `condition`.
  struct Actor {
    Folder& folder;
    const Standpoint& here;
    const Chain& chain;
    size_t index;
    const Condition& condition;
    const Snapshot& continuation;
    size_t depth;

    Result<void> operator()(const Accept&) const { return decide(Verdict::kAccept); }
    Result<void> operator()(const Drop&) const { return decide(Verdict::kDrop); }
    Result<void> operator()(const Reject&) const { return decide(Verdict::kReject); }
    Result<void> operator()(const Return&) const {
      folder.prepend(condition, continuation);
      return {};
    }
    Result<void> operator()(const Jump& jump) const {
      const auto at = folder.chain_index_.find(jump.chain);
      if (at == folder.chain_index_.end()) return folder.refuse(chain, index, "there is no such chain");
      if (jump.is_goto) folder.prepend(condition, continuation);
      return folder.fold_chain(here, folder.table_.chains[at->second], condition, depth + 1);
    }
    Result<void> operator()(const Continue&) const { return {}; }
    Result<void> operator()(const Log&) const { return {}; }
    Result<void> operator()(const Nflog&) const { return {}; }
    Result<void> operator()(const SetMark&) const { return {}; }
    Result<void> operator()(const SetConnmark&) const { return {}; }
    Result<void> operator()(const SetDscp&) const { return {}; }
    Result<void> operator()(const Redirect&) const { return rewrites(); }
    Result<void> operator()(const Masquerade&) const { return rewrites(); }
    Result<void> operator()(const Dnat&) const { return rewrites(); }
    Result<void> operator()(const OpaqueTarget&) const {
      return folder.refuse(chain, index, "its target is not known");
    }

    [[nodiscard]] Result<void> decide(Verdict verdict) const {
      folder.prepend(condition, folder.verdicts_.intern({verdict, chain.rules[index].origin}));
      return {};
    }
    [[nodiscard]] Result<void> rewrites() const { return folder.refuse(chain, index, "its target rewrites addresses"); }
  };

  uint32_t who(const Condition& condition) {
    const Who key{condition.owners, condition.kinds, condition.states};
    const auto [at, is_new] = who_index_.try_emplace(key, static_cast<uint32_t>(whos_.size()));
    if (is_new) whos_.push_back(key);
    return at->second;
  }

  /// The lines that a condition makes, in no particular order: they have one verdict. Destinations are the intervals'.
  std::vector<Line> lines(const Condition& condition, VerdictId verdict) {
    std::vector<Line> all;
    Line line;
    line.who = who(condition);
    line.verdict = verdict;
    for (const auto& source : condition.source.parts()) {
      line.first_source = source.first;
      line.last_source = source.last;
      for (const auto& source_port : condition.source_port.parts()) {
        line.first_source_port = source_port.first;
        line.last_source_port = source_port.last;
        for (const auto& port : condition.destination_port.parts()) {
          line.first_port = port.first;
          line.last_port = port.last;
          all.push_back(line);
        }
      }
    }
    return all;
  }

  [[nodiscard]] bool decides_everything(const Line& line) const {
    const Who& w = whos_[line.who];
    return line.any_port() && line.any_source() && (owners_ & ~w.owners) == 0 && (kinds_.all() & ~w.kinds) == 0 &&
           w.states == kAllStates;
  }

  uint32_t cons(const Line& line, uint32_t tail) {
    if (decides_everything(line)) tail = kNil;
    cells_.push_back({line, tail, hash_of(line, cells_[tail].hash)});
    return static_cast<uint32_t>(cells_.size() - 1);
  }

  void prepend(const Condition& condition, VerdictId verdict) {
    const std::vector<Line> add = lines(condition, verdict);
    change(condition, [&](uint32_t list, size_t) {
      for (const Line& line : add) list = cons(line, list);
      return list;
    });
  }

  /// "Where the condition holds, as it was then."
  void prepend(const Condition& condition, const Snapshot& then) {
    Condition anywhere = condition;
    anywhere.destination = {};
    change_each(condition, [&](uint32_t list, size_t interval) {
      std::vector<Line> restricted;
      for (uint32_t cell = then.list(interval); cell != kNil; cell = cells_[cell].tail) {
        restrict(cells_[cell].line, anywhere, restricted);
      }
      for (size_t i = restricted.size(); i-- > 0;) list = cons(restricted[i], list);
      return list;
    });
  }

  /// Appends the part of `line` that the condition holds.
  void restrict(const Line& line, const Condition& condition, std::vector<Line>& to) {
    Condition part;
    part.owners = whos_[line.who].owners;
    part.kinds = whos_[line.who].kinds;
    part.states = whos_[line.who].states;
    part.source = Ranges<uint32_t>::of(line.first_source, line.last_source);
    part.source_port = Ranges<uint16_t>::of(line.first_source_port, line.last_source_port);
    part.destination_port = Ranges<uint16_t>::of(line.first_port, line.last_port);
    part.intersect(condition);
    if (part.is_empty()) return;
    const std::vector<Line> parts = lines(part, line.verdict);
    to.insert(to.end(), parts.begin(), parts.end());
  }

  /// Calls `visit(first interval, end)` for the intervals of the condition's destinations. Their borders are borders of
  /// intervals: `starts_` was made from all tests.
  template <class Visit>
  void for_destinations(const Condition& condition, Visit&& visit) const {
    for (const auto& part : condition.destination.parts()) {
      const auto first = std::ranges::lower_bound(starts_, part.first);
      const auto end = std::upper_bound(first, starts_.end(), part.last);
      assert(first != starts_.end() && *first == part.first);
      visit(static_cast<size_t>(first - starts_.begin()), static_cast<size_t>(end - starts_.begin()));
    }
  }

  /// Gives each class that lies in the condition's destinations the list that `next` makes of its old one; intervals
  /// of a class that lies there in part get a class of their own.
  template <class Next>
  void change(const Condition& condition, Next&& next) {
    if (condition.destination.is_any()) {
      for (Class& c : classes_) {
        if (c.intervals != 0) c.list = next(c.list, 0);
      }
      return;
    }
    renamed_.resize(classes_.size(), kUnset);
    touched_.clear();
    for_destinations(condition, [&](size_t first, size_t end) {
      for (size_t i = first; i < end; ++i) {
        const uint32_t old = class_of_[i];
        if (renamed_[old] == kUnset) {
          touched_.push_back(old);
          renamed_[old] = add_class(next(classes_[old].list, i));
        }
        move(i, renamed_[old]);
      }
    });
    for (const uint32_t old : touched_) {
      renamed_[old] = kUnset;
      if (classes_[old].intervals == 0) free_.push_back(old);
    }
  }

  /// As `change`, where the new list depends on the interval and not only on the old list.
  template <class Next>
  void change_each(const Condition& condition, Next&& next) {
    for_destinations(condition, [&](size_t first, size_t end) {
      for (size_t i = first; i < end; ++i) {
        const uint32_t old = class_of_[i];
        move(i, add_class(next(classes_[old].list, i)));
        if (classes_[old].intervals == 0) free_.push_back(old);
      }
    });
  }

  uint32_t add_class(uint32_t list) {
    if (free_.empty()) {
      classes_.push_back({list, 0});
      renamed_.resize(classes_.size(), kUnset);
      return static_cast<uint32_t>(classes_.size() - 1);
    }
    const uint32_t number = free_.back();
    free_.pop_back();
    classes_[number].list = list;
    return number;
  }

  void move(size_t interval, uint32_t to) {
    --classes_[class_of_[interval]].intervals;
    class_of_[interval] = to;
    ++classes_[to].intervals;
  }

  /// The index in `lists` of an equal list, appended when new.
  uint32_t materialise(uint32_t cell, std::unordered_multimap<uint64_t, uint32_t>& by_hash,
                       std::vector<std::vector<Line>>& lists) const {
    const uint64_t hash = cells_[cell].hash;
    std::vector<Line> list;
    for (; cell != kNil; cell = cells_[cell].tail) list.push_back(cells_[cell].line);
    const auto [first, last] = by_hash.equal_range(hash);
    for (auto at = first; at != last; ++at) {
      if (lists[at->second] == list) return at->second;
    }
    lists.push_back(std::move(list));
    by_hash.emplace(hash, static_cast<uint32_t>(lists.size() - 1));
    return static_cast<uint32_t>(lists.size() - 1);
  }

  const Table& table_;
  const Kinds& kinds_;
  VerdictTable& verdicts_;
  std::vector<uint32_t> starts_;
  uint64_t owners_;
  std::unordered_map<std::string_view, size_t> chain_index_;
  std::vector<Cell> cells_;
  std::vector<uint32_t> class_of_;  ///< By interval.
  std::vector<Class> classes_;
  std::vector<uint32_t> free_;
  std::vector<uint32_t> renamed_;  ///< By class, within one `change`.
  std::vector<uint32_t> touched_;
  std::map<Who, uint32_t> who_index_;
  std::vector<Who> whos_;
};

/// Every address at which a test of the table begins or ends to hold.
std::vector<uint32_t> borders(const Table& table) {
  std::vector<uint32_t> starts = {0};
  for (const Chain& chain : table.chains) {
    for (const Rule& rule : chain.rules) {
      const AddressTest& test = rule.header.destination;
      if (test.mask.v4_bits() == 0) continue;
      const uint32_t first = test.address.v4_bits();
      const uint32_t last = first | ~test.mask.v4_bits();
      starts.push_back(first);
      if (last != 0xFFFFFFFF) starts.push_back(last + 1);
    }
  }
  std::ranges::sort(starts);
  starts.erase(std::unique(starts.begin(), starts.end()), starts.end());  // clang 14 cannot read the ranges form
  return starts;
}

/// A table beside filter must not change what the wire sees. What it may do: count, log, mark, masquerade behind
/// us, redirect what stays on the loopback interface.
Result<void> check_other_table(const Table& table, const std::vector<Standpoint>& places) {
  for (const Chain& chain : table.chains) {
    if (chain.policy == ChainPolicy::kDrop) {
      return fail(ErrorKind::kRejected, "the wire filter cannot enforce \"" +
                                            write_rule(RuleRef{&table, &chain, RuleRef::kPolicy}) + "\" in table \"" +
                                            std::string(to_string(table.name)) + "\": only filter may block");
    }
    for (size_t i = 0; i < chain.rules.size(); ++i) {
      const Rule& rule = chain.rules[i];
      const bool is_met = std::ranges::any_of(places, [&](const Standpoint& here) { return can_meet(here, rule); });
      const bool is_for_loopback = !rule.header.destination.inverted &&
                                   rule.header.destination.mask.v4_bits() >> 24 == 0xFF &&
                                   rule.header.destination.address.v4_bits() >> 24 == 127;
      const bool blocks = std::holds_alternative<Drop>(rule.target) || std::holds_alternative<Reject>(rule.target) ||
                          std::holds_alternative<OpaqueTarget>(rule.target);
      const bool sends_elsewhere =
          std::holds_alternative<Redirect>(rule.target) || std::holds_alternative<Dnat>(rule.target);
      if (is_met && !is_for_loopback && (blocks || sends_elsewhere)) {
        return fail(ErrorKind::kRejected, "the wire filter cannot enforce \"" + write_rule(RuleRef{&table, &chain, i}) +
                                              "\" in table \"" + std::string(to_string(table.name)) +
                                              "\": only filter may block, and only loopback be redirected");
      }
    }
  }
  return {};
}

constexpr std::string_view chain_of(Hook hook) {
  switch (hook) {
    case Hook::kInput: return "INPUT";
    case Hook::kOutput: return "OUTPUT";
    case Hook::kForward: return "FORWARD";
  }
  return "";
}

}  // namespace

const std::vector<Line>& Lists::at(uint32_t destination) const {
  const auto behind = std::ranges::upper_bound(starts, destination);
  return lists[list_of[static_cast<size_t>(behind - starts.begin()) - 1]];
}

VerdictTable::VerdictTable() {
  for (const Verdict verdict : {Verdict::kDrop, Verdict::kAccept, Verdict::kReject}) intern({verdict, kNoOrigin});
}

VerdictId VerdictTable::intern(const WireVerdict& verdict) {
  if (const auto at = ids_.find(verdict); at != ids_.end()) return at->second;
  if (all_.size() == kMaxVerdicts) return ids_.at({verdict.verdict, kNoOrigin});
  const auto id = static_cast<VerdictId>(all_.size());
  all_.push_back(verdict);
  ids_.emplace(verdict, id);
  return id;
}

Result<Lists> fold(const RuleSet& rules, const WireView& view, const Kinds& kinds, Side from, VerdictTable& verdicts) {
  const std::vector<Standpoint> places = standpoints(view, from);
  for (const Table& table : rules.tables) {
    if (table.family != Family::kIpv4 || table.name == TableName::kFilter) continue;
    if (auto checked = check_other_table(table, places); !checked) return tl::unexpected(checked.error());
  }
  uint64_t owners = 0;
  for (const Standpoint& here : places) owners |= here.owners;

  static const Table kOpen = Table::open(Family::kIpv4, TableName::kFilter);
  const Table* filter = rules.find(Family::kIpv4, TableName::kFilter);
  if (filter == nullptr) filter = &kOpen;
  Folder folder(*filter, kinds, verdicts, borders(*filter), owners);
  for (const Standpoint& here : places) {
    if (auto added = folder.add(here, chain_of(here.hook)); !added) return tl::unexpected(added.error());
  }
  return folder.finish();
}

}  // namespace tails::fastpath
