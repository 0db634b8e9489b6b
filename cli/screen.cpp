#include "cli/screen.h"

#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace tails::cli {
namespace {

/// The sixteen colours that a terminal's theme sets, so that the text is readable on dark and on light ground.
std::string_view escape(Ink ink) {
  switch (ink) {
    case Ink::kPlain: return "";
    case Ink::kStrong: return "\033[1m";
    case Ink::kFaint: return "\033[2m";
    case Ink::kName: return "\033[36m";
    case Ink::kGood: return "\033[32m";
    case Ink::kBad: return "\033[1;31m";
    case Ink::kWarning: return "\033[33m";
  }
  return "";
}

bool wants_colour(int fd) {
  const char* no_colour = std::getenv("NO_COLOR");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term != nullptr && std::string_view(term) == "dumb") return false;
  return isatty(fd) == 1;
}

}  // namespace

Screen Screen::on(int fd, ColourChoice choice) {
  const bool colour = choice == ColourChoice::kAlways || (choice == ColourChoice::kAuto && wants_colour(fd));
  winsize size{};
  return {colour, ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0U};
}

std::string Screen::paint(Ink ink, std::string_view text) const {
  if (!has_colour_ || ink == Ink::kPlain || text.empty()) return std::string(text);
  std::string painted(escape(ink));
  painted += text;
  painted += "\033[0m";
  return painted;
}

std::string Screen::wrap(std::string_view text, unsigned indent) const {
  constexpr unsigned kWidest = 100;
  const unsigned limit = std::min(width_, kWidest);
  const std::string margin(indent, ' ');
  std::string wrapped;
  while (true) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, line_end);
    unsigned used = indent;
    wrapped += margin;
    bool is_first = true;
    while (!line.empty()) {
      const size_t word_end = std::min(line.find(' '), line.size());
      const std::string_view word = line.substr(0, word_end);
      const unsigned width = columns(word);
      if (!is_first && limit != 0 && used + 1 + width > limit) {
        wrapped += '\n' + margin;
        used = indent;
      } else if (!is_first) {
        wrapped += ' ';
        ++used;
      }
      wrapped += word;
      used += width;
      is_first = false;
      line.remove_prefix(std::min(word_end + 1, line.size()));
    }
    if (line_end == text.size()) return wrapped;
    wrapped += '\n';
    text.remove_prefix(line_end + 1);
  }
}

unsigned columns(std::string_view text) {
  unsigned count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\033') {
      while (i < text.size() && text[i] != 'm') ++i;
      continue;
    }
    const bool continues_character = (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
    if (!continues_character) ++count;
  }
  return count;
}

bool print(std::string_view text) {
  progress::end();
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

}  // namespace tails::cli
