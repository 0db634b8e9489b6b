#pragma once

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::proof {

/// A table's chains with their jumps resolved. Keeps a pointer to the table.
class Chains {
 public:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  explicit Chains(const ruleset::Table& table);

  [[nodiscard]] const ruleset::Table& table() const { return *table_; }
  [[nodiscard]] size_t size() const { return jumps_.size(); }
  [[nodiscard]] const ruleset::Chain& operator[](size_t index) const { return table_->chains[index]; }
  /// kNone where there is no such chain.
  [[nodiscard]] size_t find(std::string_view name) const;
  /// The chain that a rule jumps to, or kNone.
  [[nodiscard]] size_t jump(size_t chain, size_t rule) const { return jumps_[chain][rule]; }
  /// Whether a packet may come out of the chain other than it went in: with another mark, or behind a target that
  /// nobody can read.
  [[nodiscard]] bool may_change_packet(size_t chain) const { return changes_[chain]; }

  /// Chains that call each other in a circle, or one chain that does not. A text may have circles; the kernel refuses
  /// them.
  struct Group {
    std::vector<size_t> chains;
    bool is_circle = false;
  };
  /// Every chain that `from` reaches, itself included, the called before their callers.
  [[nodiscard]] std::vector<Group> called_first(size_t from) const;

 private:
  const ruleset::Table* table_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::vector<std::vector<size_t>> jumps_;  ///< By chain and rule.
  std::vector<bool> changes_;
};

}  // namespace tails::proof
