#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "policy/toml.h"

/// The text of one exception of a session: a drop-in of the policy with one [[service]], [[direct]] or [[namespace]],
/// and an [added] table that says who and when. Pure.
namespace tails::cli::session {

struct Entry {
  uint32_t number = 0;  ///< What `session remove` takes.
  std::string kind;     ///< "service", "direct", "namespace".
  std::string text;     ///< `name = "Printer", at = "127.0.0.1", …`
  std::string added_by;
  std::string added_at;  ///< UTC, RFC 3339.
  std::string path;
};

/// The number that a file's name starts with; 0 where it starts with none. Below kInvalidId.
uint32_t number_of(std::string_view path);

/// A number in decimal digits at the front of `text`; nullopt: none, or one that is no user's.
std::optional<uint32_t> number_in(std::string_view text);

/// Nullopt where the document is no TOML or its name has no number. What is missing in it is empty.
std::optional<Entry> read_entry(const policy::Document& document);

/// A key of the exception and its value: words between commas where it is a list; true where the text is empty.
struct Setting {
  std::string key;  ///< A TOML bare key.
  std::string text;
  bool is_list = false;
};

/// The document's text. Whatever the values hold, only they come back from parse_toml: no quote, newline or control
/// character in them can begin a key. Bytes that are no UTF-8 make a document that is refused when it is read.
std::string write_entry(std::string_view kind, std::span<const Setting> settings, std::string_view by,
                        std::string_view at);

}  // namespace tails::cli::session
