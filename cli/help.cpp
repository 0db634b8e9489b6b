#include "cli/help.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/parse.h"

namespace tails::cli {
namespace {

constexpr std::array kGroups{Group::kRules, Group::kInspect, Group::kOther};
constexpr unsigned kNarrowest = 50;
constexpr unsigned kUnknownWidth = 80;

/// Help is laid out in columns, so it is broken even where nobody told us a width.
Screen page(const Screen& screen) {
  return {screen.has_colour(), screen.width() == 0 ? kUnknownWidth : std::max(screen.width(), kNarrowest)};
}

/// `left` in its column of `width`, `right` wrapped beside it.
std::string entry(const Screen& page, std::string_view left, unsigned width, std::string_view right) {
  const std::string block = page.wrap(right, width);
  const unsigned used = columns(left);
  if (used + 2 > width) return fmt::format("{}\n{}\n", left, block);
  return fmt::format("{}{}{}\n", left, std::string(width - used, ' '), std::string_view(block).substr(width));
}

std::string option_help(const OptionSpec& option) {
  std::string text(option.help);
  if (!option.fallback.empty()) text += fmt::format(" (default: {})", option.fallback);
  if (option.is_required) text += " (required)";
  return text;
}

std::string option_names(const Screen& page, const OptionSpec& option) {
  std::string names = "  ";
  names += option.short_name == 0 ? "    " : page.paint(Ink::kName, fmt::format("-{}", option.short_name)) + ", ";
  names += page.paint(Ink::kName, option.name);
  if (!option.is_flag()) names += fmt::format(" {}", option.value_text());
  return names;
}

std::string options_help(const Screen& page, std::span<const OptionSpec> options) {
  unsigned width = 0;
  for (const OptionSpec& option : options) width = std::max(width, columns(option_names(page, option)) + 2);
  width = std::min(width, 30U);
  std::string text;
  for (const OptionSpec& option : options) {
    text += entry(page, option_names(page, option), width, option_help(option));
  }
  return text;
}

}  // namespace

std::string usage(const Command& command) {
  std::string line = fmt::format("tails-iptc {}", command.name);
  for (const OptionSpec& option : command.options) {
    const std::string word =
        option.is_flag() ? std::string(option.name) : fmt::format("{} {}", option.name, option.value_text());
    line += fmt::format(fmt::runtime(option.is_required ? " {}" : " [{}]"), word);
  }
  const OperandSpec& operands = command.operands;
  if (!operands.name.empty()) {
    line += operands.least > 0 ? fmt::format(" {}", operands.name) : fmt::format(" [{}]", operands.name);
    if (operands.most > 1) line += "...";
  }
  return line;
}

std::string_view heading(Group group) {
  switch (group) {
    case Group::kRules: return "Put rules in place";
    case Group::kInspect: return "Look and check";
    case Group::kOther: return "For shells";
  }
  return "";
}

std::string help(std::span<const Command> commands, const Screen& screen) {
  const Screen sheet = page(screen);
  unsigned width = 0;
  for (const Command& command : commands) width = std::max(width, columns(command.name) + 4);
  std::string text = sheet.wrap(
      "tails-iptc puts a Tor-only network policy into legacy iptables as one transaction, and shows what it does.");
  text += fmt::format("\n\n{} tails-iptc [OPTIONS] COMMAND\n", sheet.paint(Ink::kStrong, "Usage:"));
  for (const Group group : kGroups) {
    bool is_first = true;
    for (const Command& command : commands) {
      if (command.group != group) continue;
      if (is_first) text += fmt::format("\n{}\n", sheet.paint(Ink::kStrong, heading(group)));
      is_first = false;
      text += entry(sheet, "  " + sheet.paint(Ink::kName, command.name), width, command.summary);
    }
  }
  text += fmt::format("\n{}\n", sheet.paint(Ink::kStrong, "Options"));
  text += options_help(sheet, kGlobalOptions);
  text += fmt::format("\n{}\n", sheet.paint(Ink::kStrong, "Exit status"));
  for (unsigned status = 0; status < kExitStatuses.size(); ++status) {
    text += entry(sheet, fmt::format("  {}", status), 5, kExitStatuses[status]);
  }
  text += fmt::format("\n{}\n  sudo tails-iptc apply\n", sheet.paint(Ink::kStrong, "Example"));
  return text;
}

std::string help(const Command& command, const Screen& screen) {
  const Screen sheet = page(screen);
  std::string text = fmt::format("{} {}\n\n{}\n", sheet.paint(Ink::kStrong, "Usage:"), usage(command),
                                 sheet.wrap(command.description));
  if (!command.operands.name.empty()) {
    const std::string left = "  " + sheet.paint(Ink::kName, command.operands.name);
    text += fmt::format("\n{}\n{}", sheet.paint(Ink::kStrong, "Operands"),
                        entry(sheet, left, columns(left) + 2, command.operands.help));
  }
  if (!command.options.empty()) {
    text += fmt::format("\n{}\n{}", sheet.paint(Ink::kStrong, "Options"), options_help(sheet, command.options));
  }
  text += fmt::format("\nThe options of every command (--policy, --json, ...) are in `tails-iptc --help`.\n\n{}\n",
                      sheet.paint(Ink::kStrong, "Example"));
  for (std::string_view rest = command.example; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    text += fmt::format("  {}\n", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return text;
}

}  // namespace tails::cli
