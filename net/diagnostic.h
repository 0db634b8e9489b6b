#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tails {

enum class Severity : uint8_t { kError, kWarning, kNotice };

/// Something to say about one place of a file that a person wrote. Plain value.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string file;     ///< As the user named it.
  uint32_t line = 0;    ///< From 1; 0: about the file as a whole, then the fields below are unused.
  uint32_t column = 0;  ///< From 1, in characters: where the text in question starts (behind a string's quote).
  uint32_t underline_column = 0;  ///< From 1: where the underlined text starts (a string's quote).
  uint32_t length = 1;            ///< Characters to underline.
  std::string message;            ///< The fact: one line, no trailing period.
  std::string remedy;             ///< What to do about it; may be empty.
  std::string source;             ///< The line of the file, without its newline.

  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

/// The place, the fact, the line and the remedy, without a trailing newline:
///
///     policy.toml:14:11: user "amnesai" is not known on this system
///        14 | allow = ["amnesai"]
///           |          ^~~~~~~~~ did you mean "amnesia"?
///
/// "warning: " or "notice: " goes before the fact where it is no error; a notice is one line, without the source.
/// Control characters show as '?', tabs as one space, and of a line over 200 characters only the part around the place.
std::string render(const Diagnostic& diagnostic);

/// Several, each followed by a newline but the last.
std::string render(std::span<const Diagnostic> diagnostics);

}  // namespace tails
