#include "cli/blocked_table.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/packet_words.h"
#include "cli/text_table.h"

namespace tails::cli {
namespace {

constexpr size_t kGap = 2;

/// In the order in which they stand.
enum : size_t { kTimes, kUser, kProgram, kTo, kBy, kEntry, kColumns };

struct Column {
  const char* heading;
  Ink ink;
  size_t width = 0;  ///< 0: left out.
};

using Line = std::array<std::string, kColumns>;

/// The first columns of `text`, the last of them an ellipsis where something is left out.
std::string clip(const std::string& text, size_t width) {
  if (columns(text) <= width) return text;
  std::string clipped;
  size_t used = 0;
  for (const char c : text) {
    const bool begins_character = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (begins_character && ++used >= width) break;
    clipped += c;
  }
  return clipped + "…";
}

class Layout {
 public:
  Layout(const std::vector<Line>& lines, size_t screen) : screen_(screen) {
    for (size_t i = 0; i < kColumns; ++i) {
      columns_[i].width = columns(columns_[i].heading);
      bool is_empty = true;
      for (const Line& line : lines) {
        columns_[i].width = std::max<size_t>(columns_[i].width, columns(line[i]));
        is_empty &= line[i].empty();
      }
      if (is_empty) columns_[i].width = 0;
    }
    if (screen_ == 0) return;
    // What matters least gives way first: never how often, who and where to.
    constexpr size_t kProgramName = 12, kLongUser = 14, kShortUser = 8, kShortEntry = 10, kShortTo = 12;
    shrink(kProgram, kProgramName);
    leave_out(kBy);
    shrink(kUser, kLongUser);
    leave_out(kProgram);
    shrink(kEntry, kShortEntry);
    shrink(kUser, kShortUser);
    leave_out(kEntry);
    shrink(kTo, kShortTo);
  }

  [[nodiscard]] size_t total() const {
    size_t total = 0;
    for (const Column& column : columns_) total += column.width == 0 ? 0 : column.width + kGap;
    return total - std::min(total, kGap);
  }

  std::string line(const Line& line, const Screen& screen, bool is_heading) const {
    std::string text;
    for (size_t i = 0; i < kColumns; ++i) {
      const Column& column = columns_[i];
      if (column.width == 0) continue;
      const std::string cell = clip(line[i], column.width);
      const std::string padding(column.width - columns(cell), ' ');
      const std::string painted = screen.paint(is_heading ? Ink::kFaint : column.ink, cell);
      text += (i == kTimes ? padding + painted : painted + padding) + std::string(kGap, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text + '\n';
  }

  [[nodiscard]] Line headings() const {
    Line line;
    for (size_t i = 0; i < kColumns; ++i) line[i] = columns_[i].heading;
    return line;
  }

 private:
  [[nodiscard]] size_t excess() const { return total() <= screen_ ? 0 : total() - screen_; }
  void leave_out(size_t column) {
    if (excess() > 0) columns_[column].width = 0;
  }
  void shrink(size_t column, size_t narrowest) {
    size_t& width = columns_[column].width;
    if (width > narrowest) width = std::max(narrowest, width - std::min(width, excess()));
  }

  size_t screen_;
  std::array<Column, kColumns> columns_{{{"times", Ink::kStrong},
                                         {"user", Ink::kName},
                                         {"program", Ink::kPlain},
                                         {"to", Ink::kPlain},
                                         {"by", Ink::kPlain},
                                         {"policy entry", Ink::kPlain}}};
};

std::vector<Line> lines_of(const std::vector<BlockedSummary::Row>& rows, const NameOfUser& name_of_user,
                           bool with_origin) {
  std::vector<Line> lines;
  for (const BlockedSummary::Row& row : rows) {
    const bool has_origin = with_origin && !row.origin.empty();
    lines.push_back({fmt::format("{}", row.count), name_of_user(row.key.user), row.program,
                     destination_text(row.key.protocol, row.key.destination), std::string(row.key.out.view()),
                     has_origin ? fmt::format("{} ({})", row.entry, row.origin) : row.entry});
  }
  return lines;
}

}  // namespace

std::string destination_text(uint8_t number, const Endpoint& to) {
  return fmt::format("{} {}", protocol_text(number), to.port != 0 ? endpoint_text(to) : to_string(to.address));
}

std::string blocked_table(const std::vector<BlockedSummary::Row>& rows, const NameOfUser& name_of_user,
                          const Screen& screen) {
  if (rows.empty()) return "";
  std::vector<Line> lines = lines_of(rows, name_of_user, true);
  const bool is_too_wide = screen.width() != 0 && Layout(lines, 0).total() > screen.width();
  if (is_too_wide) lines = lines_of(rows, name_of_user, false);
  const Layout layout(lines, screen.width());
  std::string text = layout.line(layout.headings(), screen, true);
  for (const Line& line : lines) text += layout.line(line, screen, false);
  return text;
}

}  // namespace tails::cli
