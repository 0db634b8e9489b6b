// Trees of TOML values, for whoever compares two readers.
#pragma once

#include <string>

#include <fmt/format.h>

#include "policy/toml.h"

namespace tails::testing {

inline void describe_tree(const policy::Value& value, std::string& out, int depth) {
  out += fmt::format("{:{}}kind {} at {}:{}+{} \"{}\" {} {}\n", "", depth, static_cast<int>(value.kind),
                     value.span.line, value.span.column, value.span.length, value.text, value.integer, value.boolean);
  for (const policy::Value& item : value.items) describe_tree(item, out, depth + 2);
  for (const policy::Member& member : value.members) {
    out += fmt::format("{:{}}key \"{}\" at {}:{}+{}\n", "", depth, member.key, member.key_span.line,
                       member.key_span.column, member.key_span.length);
    describe_tree(member.value, out, depth + 2);
  }
}

/// The whole tree, spans included, a line for each value and key.
inline std::string describe_tree(const policy::Value& value) {
  std::string out;
  describe_tree(value, out, 0);
  return out;
}

/// Tables of lists read one by one into the same value, as policy/read does it.
inline policy::Value with_lists_read(const policy::Document& document, policy::Value root) {
  policy::Value one;
  for (policy::Member& member : root.members) {
    for (const policy::UnreadTable& table : member.value.unread) {
      policy::read_table(document, table, one);
      member.value.items.push_back(one);
    }
    member.value.unread.clear();
  }
  return root;
}

}  // namespace tails::testing
