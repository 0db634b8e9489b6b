#include "cli/text_table.h"

#include <algorithm>
#include <cassert>

namespace tails::cli {
namespace {

using Cell = TextTable::Cell;

/// The last column is not squeezed below this; on a narrower screen the terminal breaks the line.
constexpr unsigned kNarrowestLast = 24;

}  // namespace

std::string TextTable::render(const Screen& screen, unsigned indent) const {
  std::vector<unsigned> widths;
  for (const Column& column : columns_) widths.push_back(cli::columns(column.heading));
  for (const std::vector<Cell>& row : rows_) {
    assert(row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], cli::columns(row[i].text));
  }
  unsigned before_last = indent;
  for (size_t i = 0; i + 1 < widths.size(); ++i) before_last += widths[i] + 2;
  const unsigned last_width =
      screen.width() == 0 ? 0 : std::max(kNarrowestLast, screen.width() - std::min(screen.width(), before_last));

  const auto line = [&](const std::vector<Cell>& row) {
    std::string text(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      const bool is_last = i + 1 == row.size();
      const std::string padding(widths[i] - std::min(widths[i], cli::columns(row[i].text)), ' ');
      if (columns_[i].align == Align::kRight) text += padding;
      if (is_last && last_width != 0 && columns_[i].align == Align::kLeft) {
        std::string wrapped = Screen(false, last_width).wrap(row[i].text);
        for (size_t at = wrapped.find('\n'); at != std::string::npos; at = wrapped.find('\n', at + 1)) {
          wrapped.insert(at + 1, std::string(before_last, ' '));
        }
        text += screen.paint(row[i].ink, wrapped);
      } else {
        text += screen.paint(row[i].ink, row[i].text);
      }
      if (!is_last) text += (columns_[i].align == Align::kLeft ? padding : "") + "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text + '\n';
  };

  std::string text;
  if (std::ranges::any_of(columns_, [](const Column& column) { return !column.heading.empty(); })) {
    std::vector<Cell> headings;
    for (const Column& column : columns_) headings.push_back({column.heading, Ink::kFaint});
    text += line(headings);
  }
  for (const std::vector<Cell>& row : rows_) text += line(row);
  return text;
}

}  // namespace tails::cli
