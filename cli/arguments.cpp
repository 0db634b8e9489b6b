#include <charconv>

#include <fmt/format.h>

#include "cli/command.h"

namespace tails::cli {

std::optional<std::string_view> Arguments::value(std::string_view option) const {
  const auto found = options_.find(option);
  if (found == options_.end()) return std::nullopt;
  return found->second;
}

Result<std::optional<uint32_t>> Arguments::number(std::string_view option, uint32_t least, uint32_t most) const {
  const std::optional<std::string_view> text = value(option);
  if (!text) return std::nullopt;
  uint32_t number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (problem != std::errc{} || end != text->data() + text->size() || number < least || number > most) {
    return fail(ErrorKind::kUsage,
                fmt::format("{} takes a number from {} to {}, not \"{}\"", option, least, most, *text));
  }
  return number;
}

}  // namespace tails::cli
