#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/diagnostic.h"
#include "net/result.h"

/// TOML as a plain tree with source positions. The only reader of toml++ is toml.cpp: its headers cost seconds.
namespace tails::policy {

/// Where something stands in a file: line and column from 1, length in characters.
struct Span {
  uint32_t line = 0;
  uint32_t column = 0;
  uint32_t length = 1;
  friend bool operator==(const Span&, const Span&) = default;
};

struct Member;

/// A table of a [[list]] that was left for later (read_table).
struct UnreadTable {
  size_t at = 0;  ///< Where its header's line begins in the text, in bytes.
  Span span;      ///< Its header.
};

/// One TOML value. Of the fields for content, only that of its kind is filled.
struct Value {
  enum class Kind : uint8_t { kString, kInteger, kBoolean, kFloat, kDate, kArray, kTable };

  Kind kind = Kind::kTable;
  Span span;  ///< A string with its quotes; a table under a header: the header.
  std::string text;
  int64_t integer = 0;
  bool boolean = false;
  std::vector<Value> items;
  std::vector<Member> members;      ///< In the file's order.
  std::vector<UnreadTable> unread;  ///< In the place of `items`, in a [[list]] that may be unread.
};

struct Member {
  std::string key;
  Span key_span;
  Value value;
};

/// "a string", "an integer", …, as an error says what it found.
std::string_view to_string(Value::Kind kind);

/// A policy file's text.
struct Document {
  std::string name;  ///< As messages name it: the path, or a profile's file name.
  std::string text;  ///< UTF-8.
  bool is_drop_in = false;
  /// An exception of this session, a drop-in as well: may have [[direct]], and says who added it under [added].
  bool is_session = false;
};

/// Line `line` (from 1) of `text` without its newline; empty when there is none.
std::string source_line(std::string_view text, uint32_t line);

/// What becomes of the tables of a [[list]]. A hundred thousand of them at once are a hundred megabytes.
enum class Lists : uint8_t {
  kRead,
  kMayBeUnread,  ///< Their syntax is checked, each is read when it is its turn (read_table).
};

/// Parses TOML 1.0 (https://toml.io/en/v1.0.0). The error is the first fault of syntax, a duplicate key included.
/// What nearly every policy is written in, a part of TOML, is read by plain_toml.h; the rest, and every fault, by
/// toml++.
Result<Value, Diagnostic> parse_toml(const Document& document, Lists lists = Lists::kRead);

/// The whole of a table that parse_toml left unread in this document, in the place of what `table` was. Whoever reads
/// many gives the same one each time, whose memory then is used again.
void read_table(const Document& document, const UnreadTable& unread, Value& table);

}  // namespace tails::policy
