#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "cli/screen.h"

namespace tails::cli {

/// Text in columns, each as wide as its widest cell; two spaces between. Plain value.
class TextTable {
 public:
  enum class Align : uint8_t { kLeft, kRight };
  struct Cell {
    std::string text;
    Ink ink = Ink::kPlain;
  };
  struct Column {
    std::string heading{};  ///< All of them empty: no heading line.
    Align align = Align::kLeft;
    bool wraps = false;  ///< Gives way, over several lines, where the screen is too narrow. At most one column.
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// Exactly one cell per column.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Lines, each after `indent` spaces; without spaces at their ends.
  [[nodiscard]] std::string render(const Screen& screen, unsigned indent = 0) const;

 private:
  [[nodiscard]] std::vector<unsigned> widths(const Screen& screen, unsigned indent) const;
  [[nodiscard]] std::string line(const std::vector<Cell>& row, const std::vector<unsigned>& widths,
                                 const Screen& screen, unsigned indent) const;

  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace tails::cli
