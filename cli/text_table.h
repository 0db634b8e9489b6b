#pragma once

#include <cstdint>
#include <string>
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

  /// One heading per column; all empty: no heading line.
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// Exactly one cell per column.
  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Lines, each after `indent` spaces; without spaces at their ends. The last column is wrapped to the screen.
  [[nodiscard]] std::string render(const Screen& screen, unsigned indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace tails::cli
