#include "policy/toml.h"

// Header-only, so that the tool does not load one more shared library at each start.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference"
#include <toml++/toml.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace tails::policy {
namespace {

Span span_of(const toml::source_region& region) {
  Span span{region.begin.line, region.begin.column, 1};
  // Over several lines: toml++ knows the end, an underline can only reach the first line's (the renderer clips it).
  if (region.end.line > region.begin.line) span.length = 1000;
  if (region.end.line == region.begin.line && region.end.column > region.begin.column) {
    span.length = region.end.column - region.begin.column;
  }
  return span;
}

Value convert(const toml::node& node);

std::vector<Member> convert_members(const toml::table& table) {
  std::vector<Member> members;
  members.reserve(table.size());
  for (const auto& [key, value] : table) {
    members.push_back({std::string(key.str()), span_of(key.source()), convert(value)});
  }
  std::ranges::sort(members, {}, [](const Member& m) { return std::pair(m.key_span.line, m.key_span.column); });
  return members;
}

Value convert(const toml::node& node) {
  Value value;
  value.span = span_of(node.source());
  switch (node.type()) {
    case toml::node_type::string:
      value.kind = Value::Kind::kString;
      value.text = node.as_string()->get();
      break;
    case toml::node_type::integer:
      value.kind = Value::Kind::kInteger;
      value.integer = node.as_integer()->get();
      break;
    case toml::node_type::boolean:
      value.kind = Value::Kind::kBoolean;
      value.boolean = node.as_boolean()->get();
      break;
    case toml::node_type::floating_point: value.kind = Value::Kind::kFloat; break;
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time: value.kind = Value::Kind::kDate; break;
    case toml::node_type::array:
      value.kind = Value::Kind::kArray;
      for (const toml::node& item : *node.as_array()) value.items.push_back(convert(item));
      break;
    case toml::node_type::table:
      value.kind = Value::Kind::kTable;
      value.members = convert_members(*node.as_table());
      break;
    case toml::node_type::none: break;
  }
  return value;
}

}  // namespace

std::string_view to_string(Value::Kind kind) {
  constexpr std::array<std::string_view, 7> kNames = {"a string", "an integer", "true or false", "a decimal number",
                                                      "a date",   "a list",     "a table"};
  static_assert(kNames.size() == static_cast<size_t>(Value::Kind::kTable) + 1);
  return kNames.at(static_cast<size_t>(kind));
}

std::string source_line(std::string_view text, uint32_t line) {
  for (uint32_t skipped = 1; skipped < line; ++skipped) {
    const size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return {};
    text.remove_prefix(newline + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return std::string(text);
}

Result<Value, Diagnostic> parse_toml(const Document& document) {
  const toml::parse_result result = toml::parse(std::string_view(document.text));
  if (result) return convert(result.table());

  const toml::parse_error& error = result.error();
  Diagnostic diagnostic;
  diagnostic.file = document.name;
  diagnostic.line = std::max(error.source().begin.line, 1U);
  diagnostic.column = std::max(error.source().begin.column, 1U);
  diagnostic.underline_column = diagnostic.column;
  // toml++ begins its sentences with a capital; ours follow a colon. A newline it quotes is shown, not printed.
  for (const char c : error.description()) {
    if (c == '\n') {
      diagnostic.message += "\\n";
    } else {
      diagnostic.message += c;
    }
  }
  diagnostic.message = "this is not TOML: " + diagnostic.message;
  diagnostic.source = source_line(document.text, diagnostic.line);
  return tl::unexpected(std::move(diagnostic));
}

}  // namespace tails::policy
