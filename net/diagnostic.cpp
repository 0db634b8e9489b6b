#include "net/diagnostic.h"

#include <algorithm>
#include <string_view>

namespace tails {
namespace {

constexpr size_t kWidest = 200;
constexpr size_t kNumberWidth = 5;

std::string_view label(Severity severity) {
  switch (severity) {
    case Severity::kError: return "";
    case Severity::kWarning: return "warning: ";
    case Severity::kNotice: return "notice: ";
  }
  return "";
}

constexpr bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// Byte offset of character `index` (from 0) of UTF-8 text; its size when the text is shorter.
size_t offset_of(std::string_view text, size_t index) {
  size_t at = 0;
  while (at < text.size()) {
    if (!is_continuation(text[at]) && index-- == 0) break;
    ++at;
  }
  return at;
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return !is_continuation(c); }));
}

/// What a terminal can be given: no control character gets through.
std::string printable(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c == '\t') c = ' ';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return result;
}

}  // namespace

std::string render(const Diagnostic& diagnostic) {
  const std::string file = printable(diagnostic.file);
  const std::string fact = std::string(label(diagnostic.severity)) + printable(diagnostic.message);
  const std::string remedy = printable(diagnostic.remedy);
  if (diagnostic.line == 0) {
    std::string text = file + ": " + fact;
    if (!remedy.empty()) text += "\n  " + remedy;
    return text;
  }
  const std::string number = std::to_string(diagnostic.line);
  std::string text = file + ':' + number + ':' + std::to_string(diagnostic.column) + ": " + fact;
  if (diagnostic.severity == Severity::kNotice) return remedy.empty() ? text : text + "; " + remedy;
  const size_t characters = count_characters(diagnostic.source);
  const size_t start = std::min<size_t>(std::max(diagnostic.underline_column, 1U) - 1, characters);
  // Of a very long line, the part around the place.
  const size_t first = characters <= kWidest || start < kWidest / 2 ? 0 : start - kWidest / 2;
  const std::string_view shown = std::string_view(diagnostic.source).substr(offset_of(diagnostic.source, first));
  const std::string_view window = shown.substr(0, offset_of(shown, kWidest));
  const size_t behind = count_characters(window) - std::min(count_characters(window), start - first);
  const size_t length = std::clamp<size_t>(diagnostic.length, 1, std::max<size_t>(behind, 1));

  text += '\n' + std::string(number.size() < kNumberWidth ? kNumberWidth - number.size() : 0, ' ') + number + " | ";
  text += printable(window) + '\n';
  text += std::string(std::max(kNumberWidth, number.size()), ' ') + " | " + std::string(start - first, ' ') + '^' +
          std::string(length - 1, '~');
  if (!remedy.empty()) text += ' ' + remedy;
  return text;
}

std::string render(std::span<const Diagnostic> diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!text.empty()) text += '\n';
    text += render(diagnostic);
  }
  return text;
}

}  // namespace tails
