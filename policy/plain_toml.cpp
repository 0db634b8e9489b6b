#include "policy/plain_toml.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <string>
#include <vector>

namespace tails::policy {
namespace {

constexpr uint32_t kOverLines = 1000;  ///< The length that parse_any_toml gives a span over several lines.
constexpr int kDeepest = 16;           ///< Arrays in arrays.

constexpr std::array<bool, 256> kIsBare = [] {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table.at(c) = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) table.at(c) = table.at(c - 'a' + 'A') = true;
  table['-'] = table['_'] = true;
  return table;
}();
/// What a string may hold without an escape: printable ASCII without the quote and the backslash.
constexpr std::array<bool, 256> kIsPlain = [] {
  std::array<bool, 256> table{};
  for (unsigned c = ' '; c <= '~'; ++c) table.at(c) = c != '"' && c != '\\';
  return table;
}();

struct Key {
  std::string_view text;
  Span span;
};

struct Header {
  Key key;
  Key inner;  ///< Of "[key.inner]"; else empty.
  bool is_list = false;
  Span span;
};

/// Number `index` of the list: one that was there before, or a new one at its end.
template <class Item>
Item& slot(std::vector<Item>& list, size_t index) {
  return index < list.size() ? list[index] : list.emplace_back();
}

/// Reads from one place on. Each function returns false (or nullopt) at what is not plain; the reader is of no use
/// then. Where the text ends stands a zero byte, which is no part of anything plain. Values go to `value`, or are only
/// checked where that is null. Keys and headers are filled in their place: a copy of what was just written in parts
/// waits for each of them.
class Reader {
 public:
  Reader(const std::string& text, size_t at, uint32_t line) : text_(text), at_(at), line_start_(at), line_(line) {}

  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  // NOLINTNEXTLINE(readability-simplify-subscript-expr): [] does not reach the zero at the end
  [[nodiscard]] char look() const { return text_.data()[at_]; }
  [[nodiscard]] uint32_t line() const { return line_; }
  [[nodiscard]] size_t line_start() const { return line_start_; }

  void skip_blanks() {
    while (look() == ' ' || look() == '\t') ++at_;
  }

  /// The rest of a line that has said all: blanks, a comment, the newline (or the end).
  bool end_line() {
    skip_blanks();
    if (!skip_comment()) return false;
    if (at_end()) return true;
    if (look() != '\n') return false;
    next_line();
    return true;
  }

  /// "[table]", "[[list]]" or "[table.inner]" without the line's end.
  bool header(Header& header) {
    const size_t start = at_;
    ++at_;
    header.is_list = look() == '[';
    if (header.is_list) ++at_;
    if (!bare_key(header.key)) return false;
    header.inner.text = {};
    if (!header.is_list && look() == '.') {
      ++at_;
      if (!bare_key(header.inner)) return false;
    }
    for (int i = 0; i < (header.is_list ? 2 : 1); ++i) {
      if (look() != ']') return false;
      ++at_;
    }
    header.span = span_from(start);
    return true;
  }

  /// "key = value" without the line's end. The key is not empty.
  bool key_and_equals(Key& key) {
    if (!(look() == '"' ? quoted_key(key) : bare_key(key))) return false;
    skip_blanks();
    if (look() != '=') return false;
    ++at_;
    skip_blanks();
    return true;
  }

  bool value(Value* value, int depth = 0) {
    if (value != nullptr) renew(*value);
    switch (look()) {
      case '"': return string(value);
      case '[': return depth < kDeepest && array(value, depth);
      case '{': return depth < kDeepest && inline_table(value, depth);
      case 't': return boolean(value, "true");
      case 'f': return boolean(value, "false");
      default: return integer(value);
    }
  }

 private:
  using CharacterSet = std::array<bool, 256>;
  void skip(const CharacterSet& set) {
    const char* next = text_.data() + at_;
    while (set[static_cast<unsigned char>(*next)]) ++next;
    at_ = static_cast<size_t>(next - text_.data());
  }
  /// Takes away what it was, but for `items`, whose memory an array can use.
  void renew(Value& value) const {
    value.text.clear();
    value.integer = 0;
    value.boolean = false;
    value.members.clear();
    value.unread.clear();
    if (look() != '[') value.items.clear();
  }
  [[nodiscard]] Span span_from(size_t start) const {
    return {line_, static_cast<uint32_t>(start - line_start_ + 1), static_cast<uint32_t>(at_ - start)};
  }
  void next_line() {
    ++at_;
    line_start_ = at_;
    ++line_;
  }
  bool skip_comment() {
    if (look() != '#') return true;
    const size_t end = std::min(text_.find('\n', at_), text_.size());
    const std::string_view comment = text_.substr(at_, end - at_);
    const bool is_plain = std::ranges::all_of(
        comment, [](char c) { return c == '\t' || (c >= ' ' && static_cast<signed char>(c) < 127); });
    at_ = end;
    return is_plain;
  }
  /// Blanks, newlines and comments, as they may stand in an array.
  bool skip_lines() {
    while (true) {
      skip_blanks();
      if (!skip_comment()) return false;
      if (look() != '\n') return true;
      next_line();
    }
  }

  bool bare_key(Key& key) {
    const size_t start = at_;
    skip(kIsBare);
    key.text = text_.substr(start, at_ - start);
    key.span = span_from(start);
    return at_ != start;
  }
  bool quoted_key(Key& key) {
    const size_t start = at_;
    const auto text = quoted();
    if (!text || text->empty()) return false;
    key.text = *text;
    key.span = span_from(start);
    return true;
  }
  std::optional<std::string_view> quoted() {
    const size_t start = ++at_;
    skip(kIsPlain);
    if (look() != '"') return std::nullopt;
    ++at_;
    return text_.substr(start, at_ - 1 - start);
  }

  bool string(Value* value) {
    const size_t start = at_;
    const auto text = quoted();
    // Two quotes and a third one begin a string of several lines.
    if (!text || (text->empty() && look() == '"')) return false;
    if (value != nullptr) {
      value->kind = Value::Kind::kString;
      value->span = span_from(start);
      value->text = *text;
    }
    return ends_value();
  }
  bool boolean(Value* value, std::string_view word) {
    const size_t start = at_;
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    if (value != nullptr) {
      value->kind = Value::Kind::kBoolean;
      value->span = span_from(start);
      value->boolean = word == "true";
    }
    return ends_value();
  }
  bool integer(Value* value) {
    constexpr size_t kMostDigits = 18;  // fits whatever the digits are
    const size_t start = at_;
    if (look() == '-') ++at_;
    const size_t digits = at_;
    while (look() >= '0' && look() <= '9') ++at_;
    const size_t count = at_ - digits;
    if (count == 0 || count > kMostDigits || (count > 1 && text_[digits] == '0')) return false;
    if (value != nullptr) {
      value->kind = Value::Kind::kInteger;
      value->span = span_from(start);
      std::from_chars(text_.data() + start, text_.data() + at_, value->integer);
    }
    return ends_value();
  }
  /// Nothing that could belong to the value follows: no letter, no digit, no dot.
  [[nodiscard]] bool ends_value() const {
    const char c = look();
    return at_end() || c == ' ' || c == '\t' || c == '\n' || c == '#' || c == ',' || c == ']' || c == '}';
  }

  bool array(Value* value, int depth) {
    const size_t start = at_;
    const Span first = span_from(start);
    ++at_;
    if (value != nullptr) value->kind = Value::Kind::kArray;
    if (!skip_lines()) return false;
    size_t count = 0;
    while (look() != ']') {
      Value* const item = value == nullptr ? nullptr : &slot(value->items, count++);
      if (!this->value(item, depth + 1)) return false;
      if (!skip_lines()) return false;
      if (look() == ']') break;
      if (look() != ',') return false;
      ++at_;
      if (!skip_lines()) return false;
    }
    ++at_;
    if (value != nullptr) {
      value->items.resize(count);
      value->span = line_ == first.line ? span_from(start) : Span{first.line, first.column, kOverLines};
    }
    return ends_value();
  }

  bool inline_table(Value* value, int depth) {
    const size_t start = at_;
    ++at_;
    skip_blanks();
    std::vector<std::string_view> keys;
    if (value != nullptr) value->kind = Value::Kind::kTable;
    while (look() != '}') {
      Key key;
      if (!key_and_equals(key) || std::ranges::find(keys, key.text) != keys.end()) return false;
      keys.push_back(key.text);
      Member* member = nullptr;
      if (value != nullptr) {
        value->members.push_back({std::string(key.text), key.span, Value()});
        member = &value->members.back();
      }
      const uint32_t line = line_;
      if (!this->value(member == nullptr ? nullptr : &member->value, depth + 1) || line_ != line) return false;
      skip_blanks();
      if (look() == '}') break;
      if (look() != ',') return false;
      ++at_;
      skip_blanks();
      if (look() == '}') return false;
    }
    ++at_;
    if (value != nullptr) value->span = span_from(start);
    return ends_value();
  }

  std::string_view text_;  ///< A whole std::string.
  size_t at_;
  size_t line_start_;
  uint32_t line_;
};

/// The lines "key = value" up to the next header or the end, in the place of what `members` were. `keys` is for finding
/// repetitions.
bool read_members(Reader& reader, std::vector<Member>* members, std::vector<std::string_view>& keys) {
  keys.clear();
  Key key;
  while (true) {
    reader.skip_blanks();
    if (reader.at_end() || reader.look() == '[') {
      if (members != nullptr) members->resize(keys.size());
      return true;
    }
    if (reader.look() != '\n' && reader.look() != '#') {
      if (!reader.key_and_equals(key)) return false;
      Value* value = nullptr;
      if (members != nullptr) {
        Member& member = slot(*members, keys.size());
        member.key = key.text;
        member.key_span = key.span;
        value = &member.value;
      }
      keys.push_back(key.text);
      if (!reader.value(value)) return false;
    }
    if (!reader.end_line()) return false;
  }
}

/// Few keys are compared with each other; many (accounts under [users]) are sorted.
bool has_repetition(std::vector<std::string_view>& keys) {
  if (keys.size() > 8) std::ranges::sort(keys);
  for (size_t i = 1; i < keys.size(); ++i) {
    const auto begin = keys.size() > 8 ? keys.begin() + static_cast<ptrdiff_t>(i) - 1 : keys.begin();
    const auto end = keys.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(begin, end, keys[i]) != end) return true;
  }
  return false;
}

const Member* find(const std::vector<Member>& members, std::string_view key) {
  const auto at = std::ranges::find(members, key, &Member::key);
  return at == members.end() ? nullptr : &*at;
}

/// An empty table under `header`.
Value& add_table(std::vector<Member>& members, const Key& key, Span header) {
  members.push_back({std::string(key.text), key.span, Value()});
  Value& table = members.back().value;
  table.kind = Value::Kind::kTable;
  table.span = header;
  return table;
}

}  // namespace

std::optional<Value> parse_plain_toml(const std::string& text, Lists lists) {
  Reader reader(text, 0, 1);
  std::vector<std::string_view> keys;
  std::vector<std::string_view> names_of_lists;
  std::vector<std::string_view> names_of_tables;  // under a header of their own
  Value root;
  const size_t newline = text.find('\n');
  if (newline == std::string::npos) return std::nullopt;
  root.span = {1, 1, newline + 1 == text.size() ? static_cast<uint32_t>(text.size()) : kOverLines};
  if (!read_members(reader, &root.members, keys) || has_repetition(keys)) return std::nullopt;
  Header header;
  while (!reader.at_end()) {
    const size_t line_start = reader.line_start();
    if (!reader.header(header) || !reader.end_line()) return std::nullopt;
    const std::string_view name = header.key.text;
    const auto known = std::ranges::find(root.members, name, &Member::key);
    Value* table = nullptr;
    if (!header.inner.text.empty()) {
      // Of a table that stands above it.
      const bool is_above =
          known != root.members.end() && std::ranges::find(names_of_tables, name) != names_of_tables.end();
      if (!is_above || find(known->value.members, header.inner.text) != nullptr) return std::nullopt;
      table = &add_table(known->value.members, header.inner, header.span);
    } else if (known == root.members.end()) {
      (header.is_list ? names_of_lists : names_of_tables).push_back(name);
      table = &add_table(root.members, header.key, header.span);
      if (header.is_list) table->kind = Value::Kind::kArray;
    } else if (header.is_list && std::ranges::find(names_of_lists, name) != names_of_lists.end()) {
      table = &known->value;
      table->span.length = kOverLines;
    } else {
      return std::nullopt;  // twice
    }
    const bool is_left = header.is_list && lists == Lists::kMayBeUnread;
    if (is_left) {
      table->unread.push_back({line_start, header.span});
    } else if (header.is_list) {
      table = &table->items.emplace_back();
      table->span = header.span;
    }
    if (!read_members(reader, is_left ? nullptr : &table->members, keys) || has_repetition(keys)) {
      return std::nullopt;
    }
  }
  return root;
}

void read_plain_table(const std::string& text, const UnreadTable& unread, Value& table) {
  Reader reader(text, unread.at, unread.span.line);
  table.span = unread.span;
  std::vector<std::string_view> keys;
  Header header;
  reader.skip_blanks();
  // The whole text was checked before.
  [[maybe_unused]] const bool is_read =
      reader.header(header) && reader.end_line() && read_members(reader, &table.members, keys);
  assert(is_read);
}

}  // namespace tails::policy
