#pragma once

#include <span>

#include "cli/command.h"

namespace tails::cli {

/// The options that stand before (or after) any command.
extern const std::span<const OptionSpec> kGlobalOptions;

/// What the words of one command line ask for.
struct Request {
  enum class Kind : uint8_t { kRun, kHelp, kVersion };

  Kind kind = Kind::kRun;
  const Command* command = nullptr;  ///< Of `commands`. Nullptr only for kVersion and for the help on all commands.
  GlobalOptions global;
  Arguments arguments;
};

/// Reads the words after the program's name. Every failure is kUsage, in words for a person, with the nearest known
/// word where one was mistyped.
/// Not thread-safe (CLI11).
Result<Request> parse(std::span<const Command> commands, std::span<const char* const> words);

}  // namespace tails::cli
