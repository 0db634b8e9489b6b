#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/blocked_packet.h"

namespace tails::cli {

/// Who tried what how often. Memory is bounded: beyond kMostKeys different attempts the rest is counted by user, beyond
/// kMostUsers users in one sum. Plain value.
class BlockedSummary {
 public:
  static constexpr size_t kMostKeys = 4096;
  static constexpr size_t kMostUsers = 1024;

  struct Key {
    std::optional<Uid> user;
    uint8_t protocol = 0;
    Endpoint destination;
    InterfaceName out;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Row {
    Key key;
    uint64_t count = 0;
    std::string program;  ///< The last that was known.
    std::string entry;    ///< Of the policy.
    std::string origin;   ///< Its place; empty where it has none.
  };

  /// The row of such a packet, counted already; nullptr where there is no room for another row: then it is counted by
  /// its user. Valid until the next call.
  Row* count(const host::BlockedPacket& packet);

  [[nodiscard]] uint64_t all() const { return all_; }
  /// The most frequent, most first, at most so many.
  [[nodiscard]] std::vector<Row> top(size_t most) const;
  [[nodiscard]] size_t rows() const { return rows_.size(); }
  /// Packets that have no row of their own.
  [[nodiscard]] uint64_t without_row() const { return without_row_; }
  /// Of them by user; what is over kMostUsers is in no entry.
  [[nodiscard]] const std::map<std::optional<Uid>, uint64_t>& without_row_by_user() const { return by_user_; }

 private:
  std::map<Key, Row> rows_;
  std::map<std::optional<Uid>, uint64_t> by_user_;
  uint64_t all_ = 0;
  uint64_t without_row_ = 0;
};

}  // namespace tails::cli
