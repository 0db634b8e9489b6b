#include "fastpath/way.h"

#include <algorithm>
#include <map>
#include <optional>

namespace tails::fastpath {

bool ColumnSet::empty() const {
  return std::ranges::all_of(words_, [](uint64_t word) { return word == 0; });
}
void ColumnSet::add(const ColumnSet& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
}
void ColumnSet::remove(const ColumnSet& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
}
void ColumnSet::keep(const ColumnSet& other) {
  for (size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
}

namespace {

/// Numbers things that no line tells apart alike: `contains(line's who, thing)` says what a line holds.
template <size_t N, class Contains>
unsigned number_alike(std::array<uint8_t, N>& number_of, uint64_t wanted, const std::vector<Who>& whos,
                      Contains&& contains) {
  std::map<std::vector<bool>, uint8_t> known;
  for (size_t thing = 0; thing < N; ++thing) {
    if ((wanted >> thing & 1) == 0) continue;
    std::vector<bool> look;
    for (const Who& who : whos) look.push_back(contains(who, thing));
    number_of[thing] = known.try_emplace(std::move(look), static_cast<uint8_t>(known.size())).first->second;
  }
  return static_cast<unsigned>(known.size());
}

/// One head: a class of owners, a class of kinds and a state.
struct Head {
  uint8_t owner;  ///< One of the class.
  uint8_t kind;
  uint8_t state;
};

bool holds(const Who& who, const Head& head) {
  return (who.owners >> head.owner & 1) != 0 && (who.kinds >> head.kind & 1) != 0 &&
         (who.states >> head.state & 1) != 0;
}

/// The verdict of each head that every list decides in the same way, before looking at ports or source.
std::vector<std::optional<VerdictId>> constants(const Lists& lists, const std::vector<Head>& heads,
                                                const std::vector<ColumnSet>& heads_of) {
  constexpr uint32_t kUndecided = 0xFFFFFFFF, kVaries = 0xFFFFFFFE;
  std::vector<uint32_t> verdict_of(heads.size(), kUndecided);
  ColumnSet candidates(heads.size());
  for (size_t h = 0; h < heads.size(); ++h) candidates.add(h);
  for (const std::vector<Line>& list : lists.lists) {
    ColumnSet open = candidates;
    for (const Line& line : list) {
      if (open.empty()) break;
      ColumnSet met = heads_of[line.who];
      met.keep(open);
      if (met.empty()) continue;
      open.remove(met);
      for (size_t h = 0; h < heads.size(); ++h) {
        if (!met.contains(h)) continue;
        const uint32_t verdict = line.any_port() && line.any_source() ? line.verdict : kVaries;
        if (verdict_of[h] == kUndecided) verdict_of[h] = verdict;
        if (verdict_of[h] != verdict) verdict_of[h] = kVaries;
      }
    }
    ColumnSet varying(heads.size());
    for (size_t h = 0; h < heads.size(); ++h) {
      if (verdict_of[h] == kVaries) varying.add(h);
    }
    candidates.remove(varying);
  }
  std::vector<std::optional<VerdictId>> result(heads.size());
  for (size_t h = 0; h < heads.size(); ++h) {
    if (verdict_of[h] < kVaries) result[h] = static_cast<VerdictId>(verdict_of[h]);
  }
  return result;
}

class WayMaker {
 public:
  WayMaker(const Lists& lists, unsigned kinds) : lists_(lists), kinds_(kinds) {}

  Way make() {
    number_heads();
    way_.starts.clear();
    std::map<std::vector<ColumnLine>, uint32_t> known;
    std::vector<uint32_t> list_of_list;
    for (const std::vector<Line>& list : lists_.lists) {
      std::vector<ColumnLine> lines = translate(list);
      const auto [at, is_new] = known.try_emplace(std::move(lines), static_cast<uint32_t>(known.size()));
      if (is_new) way_.lists.push_back(at->first);
      list_of_list.push_back(at->second);
    }
    for (size_t i = 0; i < lists_.starts.size(); ++i) {
      const uint32_t list = list_of_list[lists_.list_of[i]];
      if (!way_.list_of.empty() && way_.list_of.back() == list) continue;
      way_.starts.push_back(lists_.starts[i]);
      way_.list_of.push_back(list);
    }
    way_.looks_at_source = std::ranges::any_of(way_.lists, [](const std::vector<ColumnLine>& list) {
      return std::ranges::any_of(list, [](const ColumnLine& line) { return !line.any_source(); });
    });
    return std::move(way_);
  }

 private:
  void number_heads() {
    Heads& heads = way_.heads;
    const uint64_t all_kinds = kinds_ == 64 ? ~uint64_t{0} : (uint64_t{1} << kinds_) - 1;
    const unsigned owners = number_alike(heads.owner_class, lists_.owners, lists_.whos,
                                         [](const Who& who, size_t o) { return (who.owners >> o & 1) != 0; });
    heads.kind_classes = number_alike(heads.kind_class, all_kinds, lists_.whos,
                                      [](const Who& who, size_t k) { return (who.kinds >> k & 1) != 0; });

    std::vector<Head> all(size_t{owners} * heads.kind_classes * kStateCount);
    for (unsigned owner = 0; owner < OwnerTag::kCount; ++owner) {
      if ((lists_.owners >> owner & 1) == 0) continue;
      for (unsigned kind = 0; kind < kinds_; ++kind) {
        for (unsigned state = 0; state < kStateCount; ++state) {
          const size_t pair = size_t{heads.owner_class[owner]} * heads.kind_classes + heads.kind_class[kind];
          all[pair * kStateCount + state] = {static_cast<uint8_t>(owner), static_cast<uint8_t>(kind),
                                             static_cast<uint8_t>(state)};
        }
      }
    }
    std::vector<ColumnSet> heads_of;  // by who
    for (const Who& who : lists_.whos) {
      ColumnSet set(all.size());
      for (size_t h = 0; h < all.size(); ++h) {
        if (holds(who, all[h])) set.add(h);
      }
      heads_of.push_back(std::move(set));
    }

    const auto constant = constants(lists_, all, heads_of);
    heads.entries.assign(size_t{owners} * heads.kind_classes * Heads::kStates, VerdictTable::kPlainDrop);
    std::map<std::vector<bool>, uint16_t> columns;
    for (size_t h = 0; h < all.size(); ++h) {
      uint16_t& entry = heads.entries[h / kStateCount * Heads::kStates + h % kStateCount];
      if (constant[h]) {
        entry = *constant[h];
        continue;
      }
      std::vector<bool> look;
      for (const ColumnSet& set : heads_of) look.push_back(set.contains(h));
      const auto column = columns.try_emplace(std::move(look), static_cast<uint16_t>(columns.size())).first->second;
      entry = Heads::kColumn | column;
    }
    heads.columns = static_cast<unsigned>(columns.size());
    columns_of_.assign(lists_.whos.size(), ColumnSet(heads.columns));
    for (const auto& [look, column] : columns) {
      for (size_t w = 0; w < look.size(); ++w) {
        if (look[w]) columns_of_[w].add(column);
      }
    }
  }

  uint32_t intern(const ColumnSet& set) {
    const auto [at, is_new] = set_index_.try_emplace(set, static_cast<uint32_t>(way_.column_sets.size()));
    if (is_new) way_.column_sets.push_back(set);
    return at->second;
  }

  /// Lines that decide no column that is still open go; what stays names only open columns.
  std::vector<ColumnLine> translate(const std::vector<Line>& list) {
    std::vector<ColumnLine> lines;
    ColumnSet last_set;
    ColumnSet open(way_.heads.columns);
    for (size_t c = 0; c < way_.heads.columns; ++c) open.add(c);
    for (const Line& line : list) {
      if (open.empty()) break;
      ColumnSet set = columns_of_[line.who];
      set.keep(open);
      if (set.empty()) continue;
      ColumnLine next{0,
                      line.verdict,
                      line.first_port,
                      line.last_port,
                      line.first_source_port,
                      line.last_source_port,
                      line.first_source,
                      line.last_source};
      if (line.any_port() && line.any_source()) open.remove(set);
      const bool joins = !lines.empty() && [&] {
        ColumnLine previous = lines.back();
        previous.columns = 0;
        return previous == next;
      }();
      if (joins) {
        last_set.add(set);
        lines.back().columns = intern(last_set);
        continue;
      }
      next.columns = intern(set);
      last_set = std::move(set);
      lines.push_back(next);
    }
    return lines;
  }

  const Lists& lists_;
  unsigned kinds_;
  Way way_;
  std::vector<ColumnSet> columns_of_;  ///< By who.
  std::map<ColumnSet, uint32_t> set_index_;
};

}  // namespace

size_t Way::interval(uint32_t destination) const {
  return static_cast<size_t>(std::ranges::upper_bound(starts, destination) - starts.begin()) - 1;
}

Way make_way(const Lists& lists, unsigned kinds) { return WayMaker(lists, kinds).make(); }

}  // namespace tails::fastpath
