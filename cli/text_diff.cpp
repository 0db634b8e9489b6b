#include "cli/text_diff.h"

#include <algorithm>

#include <fmt/format.h>

namespace tails::cli {
namespace {

using Lines = std::vector<std::string_view>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// Myers' greedy search. `furthest[k]` is the furthest x reached on the diagonal k = x - y; one copy is kept for each
/// number of edits, so that the way back can be read off.
class Search {
 public:
  Search(const Lines& before, const Lines& after)
      : before_(before), after_(after), width_(static_cast<long>(before.size() + after.size())) {}

  /// False when more than `most` changes are needed.
  bool run(size_t most) {
    std::vector<long> furthest(2 * static_cast<size_t>(width_) + 3, 0);
    for (long edits = 0; edits <= std::min(width_, static_cast<long>(most)); ++edits) {
      trace_.push_back(furthest);
      for (long k = -edits; k <= edits; k += 2) {
        const bool goes_down = k == -edits || (k != edits && furthest[place(k - 1)] < furthest[place(k + 1)]);
        long x = goes_down ? furthest[place(k + 1)] : furthest[place(k - 1)] + 1;
        while (is_same(x, x - k)) ++x;
        furthest[place(k)] = x;
        if (x >= size(before_) && x - k >= size(after_)) return true;
      }
    }
    return false;
  }

  [[nodiscard]] std::vector<LineChange> changes() const {
    std::vector<LineChange> reversed;
    long x = size(before_);
    long y = size(after_);
    for (long edits = static_cast<long>(trace_.size()) - 1; edits > 0; --edits) {
      const std::vector<long>& furthest = trace_[static_cast<size_t>(edits)];
      const long k = x - y;
      const bool went_down = k == -edits || (k != edits && furthest[place(k - 1)] < furthest[place(k + 1)]);
      const long k_before = went_down ? k + 1 : k - 1;
      x = furthest[place(k_before)];
      y = x - k_before;
      if (went_down) {
        reversed.push_back({true, after_[static_cast<size_t>(y)]});
      } else {
        reversed.push_back({false, before_[static_cast<size_t>(x)]});
      }
    }
    std::ranges::reverse(reversed);
    return reversed;
  }

 private:
  static long size(const Lines& lines) { return static_cast<long>(lines.size()); }
  /// Where diagonal `k` stands in a vector.
  [[nodiscard]] size_t place(long k) const { return static_cast<size_t>(k + width_ + 1); }
  [[nodiscard]] bool is_same(long x, long y) const {
    return x < size(before_) && y >= 0 && y < size(after_) &&
           before_[static_cast<size_t>(x)] == after_[static_cast<size_t>(y)];
  }

  const Lines& before_;
  const Lines& after_;
  long width_;
  std::vector<std::vector<long>> trace_;
};

}  // namespace

std::vector<LineChange> line_changes(std::string_view before, std::string_view after, size_t most) {
  Lines old_lines = lines_of(before);
  Lines new_lines = lines_of(after);
  const auto [old_end, new_end] = std::ranges::mismatch(old_lines, new_lines);
  new_lines.erase(new_lines.begin(), new_end);
  old_lines.erase(old_lines.begin(), old_end);
  while (!old_lines.empty() && !new_lines.empty() && old_lines.back() == new_lines.back()) {
    old_lines.pop_back();
    new_lines.pop_back();
  }
  // The trace holds `most` copies of a vector as long as both texts: bound their product.
  constexpr size_t kMostCells = size_t{1} << 24;
  const size_t length = 2 * (old_lines.size() + new_lines.size()) + 3;
  Search search(old_lines, new_lines);
  if (search.run(std::min(most, kMostCells / length))) return search.changes();
  std::vector<LineChange> all;
  for (const std::string_view line : old_lines) all.push_back({false, line});
  for (const std::string_view line : new_lines) all.push_back({true, line});
  return all;
}

std::string changes_text(const std::vector<LineChange>& changes, const Screen& screen, unsigned indent) {
  std::string text;
  for (const LineChange& change : changes) {
    const std::string line = fmt::format("{} {}", change.added ? '+' : '-', change.line);
    text += std::string(indent, ' ') + screen.paint(change.added ? Ink::kGood : Ink::kBad, line) + '\n';
  }
  return text;
}

}  // namespace tails::cli
