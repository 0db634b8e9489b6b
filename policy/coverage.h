#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "net/ids.h"

namespace tails::policy {

/// Port ranges of several owners (entries, items of a list), to ask which of them lies within another owner's.
/// Fill it, seal it, then ask; a question costs the logarithm of what it holds.
class Coverage {
 public:
  void add(const PortRange& range, size_t owner) { items_.push_back({range, owner, 0, 0}); }

  void seal() {
    std::ranges::stable_sort(items_, {}, [](const Item& item) { return item.range.first; });
    size_t best = 0;
    size_t second = kNone;  // the best of another owner than `best`
    for (size_t i = 0; i < items_.size(); ++i) {
      const Item& item = items_[i];
      if (item.range.last > items_[best].range.last) {
        if (item.owner != items_[best].owner) second = best;
        best = i;
      } else if (item.owner != items_[best].owner && (second == kNone || item.range.last > items_[second].range.last)) {
        second = i;
      }
      items_[i].best = best;
      items_[i].second = second;
    }
  }

  /// Whether some range lies within another owner's.
  [[nodiscard]] bool has_covered() const {
    return std::ranges::any_of(items_, [&](const Item& item) { return covering(item.range, item.owner).has_value(); });
  }

  /// Another owner than `owner` with a range that holds `range`; the earliest added of those with the widest.
  struct Found {
    size_t owner;
    PortRange range;
  };
  [[nodiscard]] std::optional<Found> covering(const PortRange& range, size_t owner) const {
    const auto end =
        std::ranges::upper_bound(items_, range.first, {}, [](const Item& item) { return item.range.first; });
    if (end == items_.begin()) return std::nullopt;
    const Item& reach = *(end - 1);
    const size_t at = items_[reach.best].owner != owner ? reach.best : reach.second;
    if (at == kNone || items_[at].range.last < range.last) return std::nullopt;
    return Found{items_[at].owner, items_[at].range};
  }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  struct Item {
    PortRange range;
    size_t owner;
    size_t best;    ///< Of the items up to this one, the one that ends last.
    size_t second;  ///< The same among other owners than that one's.
  };
  std::vector<Item> items_;
};

}  // namespace tails::policy
