#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/screen.h"

namespace tails::cli {

/// One line that stands in only one of two texts.
struct LineChange {
  bool added = false;  ///< In the second text; else in the first.
  std::string_view line;
};

/// The fewest removals and additions that make `before` into `after`, in order (Myers 1986, "An O(ND) difference
/// algorithm"). Time and memory grow with the number of changes, squared: past `most` changes the answer is simply all
/// lines that differ, old ones first. Views into the texts.
std::vector<LineChange> line_changes(std::string_view before, std::string_view after, size_t most = 2000);

/// "- line" and "+ line", each in its colour, after `indent` spaces.
std::string changes_text(const std::vector<LineChange>& changes, const Screen& screen, unsigned indent = 0);

}  // namespace tails::cli
