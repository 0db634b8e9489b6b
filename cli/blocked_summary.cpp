#include "cli/blocked_summary.h"

#include <algorithm>

namespace tails::cli {

BlockedSummary::Row* BlockedSummary::count(const host::BlockedPacket& packet) {
  ++all_;
  const Key key{packet.uid, packet.protocol, packet.destination, packet.out};
  auto found = rows_.find(key);
  if (found == rows_.end()) {
    if (rows_.size() >= kMostKeys) {
      ++without_row_;
      if (by_user_.contains(packet.uid) || by_user_.size() < kMostUsers) ++by_user_[packet.uid];
      return nullptr;
    }
    found = rows_.emplace(key, Row{key, 0, {}, {}, {}}).first;
  }
  ++found->second.count;
  return &found->second;
}

std::vector<BlockedSummary::Row> BlockedSummary::top(size_t most) const {
  std::vector<const Row*> all;
  all.reserve(rows_.size());
  for (const auto& [key, row] : rows_) all.push_back(&row);
  const size_t some = std::min(most, all.size());
  std::ranges::partial_sort(all, all.begin() + static_cast<std::ptrdiff_t>(some),
                            [](const Row* a, const Row* b) { return a->count > b->count; });
  std::vector<Row> rows;
  for (size_t i = 0; i < some; ++i) rows.push_back(*all[i]);
  return rows;
}

}  // namespace tails::cli
