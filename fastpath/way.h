#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "fastpath/fold.h"

namespace tails::fastpath {

/// A set of columns (below), one bit each.
class ColumnSet {
 public:
  ColumnSet() = default;
  explicit ColumnSet(size_t columns) : words_((columns + 63) / 64) {}

  void add(size_t column) { words_[column / 64] |= uint64_t{1} << column % 64; }
  [[nodiscard]] bool contains(size_t column) const { return (words_[column / 64] >> column % 64 & 1) != 0; }
  [[nodiscard]] bool empty() const;
  void add(const ColumnSet& other);
  void remove(const ColumnSet& other);
  void keep(const ColumnSet& other);
  /// Bits 16·plane … 16·plane + 15.
  [[nodiscard]] uint16_t plane(size_t index) const {
    return static_cast<uint16_t>(words_[index / 4] >> index % 4 * 16);
  }
  friend auto operator<=>(const ColumnSet&, const ColumnSet&) = default;

 private:
  std::vector<uint64_t> words_;
};

/// What is known of a packet before its addresses and ports: owner, kind and state ("who"), and what follows from it.
///
/// For most of them one verdict follows (an established TCP flow passes, INVALID never does): those need no
/// classification. The others are numbered as columns; those that no line tells apart share a column.
class Heads {
 public:
  /// Set in an entry that names a column and not a verdict.
  static constexpr uint16_t kColumn = 0x8000;
  /// Entries of one owner and kind stand together, by StateIndex, in a block of this size.
  static constexpr unsigned kStates = 8;

  [[nodiscard]] uint16_t entry(uint8_t owner, uint8_t kind, StateIndex state) const {
    return entries[block(owner, kind) + static_cast<size_t>(state)];
  }
  [[nodiscard]] size_t block(uint8_t owner, uint8_t kind) const {
    return (size_t{owner_class[owner]} * kind_classes + kind_class[kind]) * kStates;
  }

  std::array<uint8_t, OwnerTag::kCount> owner_class{};
  std::array<uint8_t, Kinds::kMax> kind_class{};
  unsigned kind_classes = 1;
  std::vector<uint16_t> entries;  ///< By owner class, kind class, state.
  unsigned columns = 0;
};

/// A line of a list after owner, kind and state have become columns.
struct ColumnLine {
  uint32_t columns = 0;  ///< Index into Way::column_sets.
  VerdictId verdict = 0;
  uint16_t first_port = 0;
  uint16_t last_port = 65535;
  uint16_t first_source_port = 0;
  uint16_t last_source_port = 65535;
  uint32_t first_source = 0;
  uint32_t last_source = 0xFFFFFFFF;

  [[nodiscard]] bool any_port() const { return first_port == 0 && last_port == 65535; }
  [[nodiscard]] bool any_source() const {
    return first_source_port == 0 && last_source_port == 65535 && first_source == 0 && last_source == 0xFFFFFFFF;
  }
  friend auto operator<=>(const ColumnLine&, const ColumnLine&) = default;
};

/// What remains to be looked up for packets of one direction: destination, then ports and column. Lists as in `Lists`,
/// without the lines that only decide what the heads decide already, or that an earlier line hides.
struct Way {
  Heads heads;
  std::vector<uint32_t> starts;
  std::vector<uint32_t> list_of;
  std::vector<std::vector<ColumnLine>> lists;
  std::vector<ColumnSet> column_sets;
  bool looks_at_source = false;  ///< Some line tests a source address or port.

  [[nodiscard]] size_t interval(uint32_t destination) const;
};

/// `kinds`: how many there are.
Way make_way(const Lists& lists, unsigned kinds);

}  // namespace tails::fastpath
