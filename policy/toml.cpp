#include "policy/toml.h"

// Header-only, so that the tool does not load one more shared library at each start.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// toml++ 3.3 asserts (and with NDEBUG assumes, which Clang takes at its word) that a table's name starts with a letter
// or a quote, where the text may say "[/x]". Without both it finds the fault itself.
#define TOML_ASSERT(condition) static_cast<void>(0)
#pragma push_macro("NDEBUG")
#undef NDEBUG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference"
#include <toml++/toml.h>
#pragma GCC diagnostic pop
#pragma pop_macro("NDEBUG")

#include <algorithm>
#include <array>
#include <optional>
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

/// End of the string that starts at `at` with a quote, or of `text`; where a character that is not ASCII follows a
/// backslash in a string of several lines, its place in `stray`.
size_t skip_string(std::string_view text, size_t at, std::optional<size_t>& stray) {
  const char quote = text[at];
  const bool has_escapes = quote == '"';
  const std::string three(3, quote);
  const bool is_long = text.substr(at).starts_with(three);
  at += is_long ? 3 : 1;
  while (at < text.size()) {
    if (has_escapes && text[at] == '\\') {
      const size_t next = is_long ? std::min(text.find_first_not_of(" \t\r\n", at + 1), text.size()) : at + 1;
      if (is_long && next < text.size() && static_cast<unsigned char>(text[next]) >= 0x80) {
        stray = next;
        return text.size();
      }
      at = next == at + 1 ? at + 2 : next;
    } else if (is_long && text.substr(at).starts_with(three)) {
      at += 3;
      for (int more = 0; more < 2 && at < text.size() && text[at] == quote; ++more) ++at;  // """a"""""
      return at;
    } else if (!is_long && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    } else {
      ++at;
    }
  }
  return text.size();
}

/// What toml++ 3.3 must not see.
struct Unreadable {
  size_t at;
  std::string_view message;
  std::string_view remedy;
};

/// - A character that is not ASCII and neither in a string nor in a comment, where TOML 1.0 has none: toml++ asks
/// whether
///   'ä' is white space, and its answer is undefined behaviour (is_non_ascii_horizontal_whitespace, a bit mask that
///   calls U+00A1 to U+0499 unreachable).
/// - A key like a.a.a.a… of a million parts: each part is a table in a table, whose destructor calls itself.
std::optional<Unreadable> find_unreadable(std::string_view text) {
  constexpr size_t kMostParts = 16;
  std::optional<size_t> stray;
  size_t parts = 1;
  size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  while (at < text.size() && !stray) {
    const char c = text[at];
    if (c == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (c == '"' || c == '\'') {
      at = skip_string(text, at, stray);
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      stray = at;
    } else {
      if (c == '\n' || c == '=' || c == ',' || c == '[' || c == '{') parts = 1;
      if (c == '.' && ++parts > kMostParts)
        return Unreadable{at, "this key has too many parts", "A policy has no such key."};
      ++at;
    }
  }
  if (!stray) return std::nullopt;
  return Unreadable{*stray, "this character needs quotes around it", "Outside of strings and comments TOML is ASCII."};
}

Diagnostic say(const Document& document, const Unreadable& fault) {
  const std::string_view before = std::string_view(document.text).substr(0, fault.at);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  const auto starts_character = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; };
  Diagnostic diagnostic;
  diagnostic.file = document.name;
  diagnostic.line = static_cast<uint32_t>(std::ranges::count(before, '\n') + 1);
  diagnostic.column = static_cast<uint32_t>(std::ranges::count_if(before.substr(line_start), starts_character) + 1);
  diagnostic.underline_column = diagnostic.column;
  diagnostic.message = fault.message;
  diagnostic.remedy = fault.remedy;
  diagnostic.source = source_line(document.text, diagnostic.line);
  return diagnostic;
}

/// toml++'s words in ours. "Error while parsing X: Y" becomes "cannot read X: Y"; the one fault that is no misprint,
/// a name given twice, gets words and a place of its own (toml++ points behind the "=").
void word(Diagnostic& diagnostic, std::string_view description) {
  constexpr std::string_view kTwice = "cannot redefine existing ";
  constexpr std::string_view kPrefix = "Error while parsing ";
  const size_t twice = description.find(kTwice);
  const size_t quote = description.find('\'', twice);
  const size_t end = description.rfind('\'');
  if (twice != std::string_view::npos && quote < end) {
    const std::string_view name = description.substr(quote + 1, end - quote - 1);
    diagnostic.message = "\"" + std::string(name) + "\" is given twice";
    diagnostic.remedy = "A key or a [table] may stand once; a [[list]] of tables may go on.";
    const size_t at = diagnostic.source.find(name.substr(name.rfind('.') + 1));
    if (at == std::string::npos) return;
    diagnostic.column = diagnostic.underline_column = static_cast<uint32_t>(at + 1);
    diagnostic.length = static_cast<uint32_t>(name.size() - (name.rfind('.') + 1));
    return;
  }
  if (description.starts_with(kPrefix)) {
    diagnostic.message = "cannot read " + std::string(description.substr(kPrefix.size()));
  } else {
    diagnostic.message = "cannot read TOML: " + std::string(description);
  }
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
  if (const auto fault = find_unreadable(document.text)) return tl::unexpected(say(document, *fault));
  const toml::parse_result result = toml::parse(std::string_view(document.text));
  if (result) return convert(result.table());

  const toml::parse_error& error = result.error();
  Diagnostic diagnostic;
  diagnostic.file = document.name;
  diagnostic.line = std::max(error.source().begin.line, 1U);
  diagnostic.column = std::max(error.source().begin.column, 1U);
  diagnostic.underline_column = diagnostic.column;
  diagnostic.source = source_line(document.text, diagnostic.line);
  word(diagnostic, error.description());
  return tl::unexpected(std::move(diagnostic));
}

}  // namespace tails::policy
