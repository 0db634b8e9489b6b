#include "cli/text_table.h"

#include <algorithm>
#include <cassert>

namespace tails::cli {
namespace {

/// A column that gives way keeps this much; on a still narrower screen the terminal breaks the line.
constexpr unsigned kNarrowest = 24;
constexpr unsigned kGap = 2;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

}  // namespace

std::vector<unsigned> TextTable::widths(const Screen& screen, unsigned indent) const {
  std::vector<unsigned> widths;
  for (const Column& column : columns_) widths.push_back(cli::columns(column.heading));
  for (const std::vector<Cell>& row : rows_) {
    assert(row.size() == columns_.size());
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], cli::columns(row[i].text));
  }
  unsigned total = indent;
  for (const unsigned width : widths) total += width + kGap;
  total -= kGap;
  if (screen.width() == 0 || total <= screen.width()) return widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i].wraps) continue;
    const unsigned excess = total - screen.width();
    widths[i] = std::max(std::min(kNarrowest, widths[i]), widths[i] - std::min(widths[i], excess));
  }
  return widths;
}

/// One row; several lines where a cell is wider than its column.
std::string TextTable::line(const std::vector<Cell>& row, const std::vector<unsigned>& widths, const Screen& screen,
                            unsigned indent) const {
  std::vector<std::vector<std::string>> cells;
  size_t height = 1;
  for (size_t i = 0; i < row.size(); ++i) {
    const bool is_wide = columns_[i].wraps && cli::columns(row[i].text) > widths[i];
    cells.push_back(is_wide ? lines_of(Screen(false, widths[i]).wrap(row[i].text)) : std::vector{row[i].text});
    height = std::max(height, cells.back().size());
  }
  std::string text;
  for (size_t level = 0; level < height; ++level) {
    std::string part(indent, ' ');
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string cell = level < cells[i].size() ? cells[i][level] : "";
      const std::string padding(widths[i] - std::min(widths[i], cli::columns(cell)), ' ');
      const std::string painted = screen.paint(row[i].ink, cell);
      part += columns_[i].align == Align::kRight ? padding + painted : painted + padding;
      part += std::string(kGap, ' ');
    }
    part.erase(part.find_last_not_of(' ') + 1);
    text += part + '\n';
  }
  return text;
}

std::string TextTable::render(const Screen& screen, unsigned indent) const {
  const std::vector<unsigned> all_widths = widths(screen, indent);
  std::string text;
  if (std::ranges::any_of(columns_, [](const Column& column) { return !column.heading.empty(); })) {
    std::vector<Cell> headings;
    for (const Column& column : columns_) headings.push_back({column.heading, Ink::kFaint});
    text += line(headings, all_widths, screen, indent);
  }
  for (const std::vector<Cell>& row : rows_) text += line(row, all_widths, screen, indent);
  return text;
}

}  // namespace tails::cli
