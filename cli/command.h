#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/exit_status.h"
#include "cli/screen.h"
#include "net/result.h"
#include "policy/environment.h"

/// What a subcommand is. One table of these (commands.cpp) drives parsing, dispatch, help and completion, so they
/// cannot disagree. A new command is one file with a `Command` constant and one line in that table.
namespace tails::cli {

/// How a shell completes a word.
enum class Completion : uint8_t { kNone, kFile, kUser, kInterface, kProfile, kOperand };

/// One option of a command.
struct OptionSpec {
  std::string_view name;           ///< "--to"
  std::string_view value = {};     ///< What the help calls its value: "ADDR". Empty with no `choices`: a flag.
  std::string_view help;           ///< One sentence without a full stop.
  std::string_view choices = {};   ///< The only values, "save|table|json|dot". Empty: any.
  std::string_view fallback = {};  ///< What holds where it is not given; said in the help.
  bool is_required = false;
  char short_name = 0;
  Completion completion = Completion::kNone;

  [[nodiscard]] constexpr bool is_flag() const { return value.empty() && choices.empty(); }
  /// "ADDR", "save|table|json|dot", or nothing for a flag.
  [[nodiscard]] constexpr std::string_view value_text() const { return value.empty() ? choices : value; }
};

/// The words after the options.
struct OperandSpec {
  std::string_view name = {};  ///< "FILE"; empty: the command takes none.
  std::string_view help = {};
  unsigned least = 0;
  unsigned most = 0;
  Completion completion = Completion::kNone;
};

/// The words of one run, checked against the command's OptionSpecs: what stands here is known to the command, given
/// where it is required, and one of the choices where there are some.
class Arguments {
 public:
  void set(std::string_view option, std::string value) {
    options_.insert_or_assign(std::string(option), std::move(value));
  }
  void add_operand(std::string operand) { operands_.push_back(std::move(operand)); }

  [[nodiscard]] bool has(std::string_view option) const { return options_.contains(option); }
  /// The last one given, or the option's fallback, or nothing. A flag that was given has the value "".
  [[nodiscard]] std::optional<std::string_view> value(std::string_view option) const;
  /// As a decimal number `least`..`most`; kUsage with words otherwise.
  [[nodiscard]] Result<std::optional<uint32_t>> number(std::string_view option, uint32_t least, uint32_t most) const;
  [[nodiscard]] const std::vector<std::string>& operands() const { return operands_; }

 private:
  std::map<std::string, std::string, std::less<>> options_;
  std::vector<std::string> operands_;
};

/// The options before the command.
struct GlobalOptions {
  std::optional<std::string> policy;
  policy::UserMap user_map;
  std::chrono::seconds wait{5};
  bool json = false;
  ColourChoice colour = ColourChoice::kAuto;
  int verbosity = 0;  ///< -1 quiet, 0, 1 and more: talkative.
};

/// One run of one command.
struct Invocation {
  GlobalOptions global;
  Arguments arguments;
  Screen out;  ///< Standard output.
  Screen err;  ///< Standard error.
};

/// The heading in the help under which a command stands.
enum class Group : uint8_t { kRules, kInspect, kOther };

struct Command {
  std::string_view name;  ///< "apply"; a command of a family has two words: "session add".
  Group group = Group::kOther;
  std::string_view summary = {};      ///< For the list of commands: imperative, no full stop.
  std::string_view description = {};  ///< Full sentences, blank lines between paragraphs.
  std::span<const OptionSpec> options = {};
  OperandSpec operands = {};
  std::string_view example = {};  ///< One or more lines as typed at a shell.
  std::string_view row = {};      ///< Of confine/rows.h; empty: the one with this name.
  /// Prints its answer itself; what it returns as an Error the caller prints.
  Result<ExitStatus> (*run)(const Invocation&) = nullptr;
  /// Instead of `run`, where the kernel would not confine the process, which the Error tells; for a command that must
  /// not leave the machine open. By default nothing is done.
  Result<ExitStatus> (*run_unconfined)(const Invocation&, const Error&) = nullptr;
};

}  // namespace tails::cli
