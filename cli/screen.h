#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tails::cli {

/// What a piece of text is; the palette decides which colour that has.
enum class Ink : uint8_t { kPlain, kStrong, kFaint, kName, kGood, kBad, kWarning };

enum class ColourChoice : uint8_t { kAuto, kAlways, kNever };

/// One output stream as its reader sees it: with colour or without, so many columns wide. Plain value.
class Screen {
 public:
  /// Neither colour nor wrapping: files, pipes, tests.
  Screen() = default;
  Screen(bool has_colour, unsigned width) : has_colour_(has_colour), width_(width) {}
  /// kAuto means colour where `fd` is a terminal, NO_COLOR is unset or empty (no-color.org) and TERM is not "dumb".
  /// The width is the terminal's.
  static Screen on(int fd, ColourChoice choice);

  [[nodiscard]] bool has_colour() const { return has_colour_; }
  /// 0: lines are not broken (no terminal).
  [[nodiscard]] unsigned width() const { return width_; }
  /// `text` in its colour, or as it is.
  [[nodiscard]] std::string paint(Ink ink, std::string_view text) const;
  /// `text` broken at spaces to the width, at most 100 columns because longer lines read badly; each line after
  /// `indent` spaces; its own line breaks stay.
  [[nodiscard]] std::string wrap(std::string_view text, unsigned indent = 0) const;

 private:
  bool has_colour_ = false;
  unsigned width_ = 0;
};

/// Columns that `text` takes on a terminal: escape sequences none, every UTF-8 character one.
unsigned columns(std::string_view text);

/// Writes all of `text` to standard output. False when that is not possible (full disk, closed pipe).
bool print(std::string_view text);

}  // namespace tails::cli
