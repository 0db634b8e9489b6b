#include "cli/commands.h"
#include "cli/completion_scripts.h"

namespace tails::cli {
namespace {

Result<ExitStatus> run_completion(const Invocation& invocation) {
  const std::string& shell = invocation.arguments.operands().front();
  if (shell == "bash") {
    print(bash_completion(commands()));
  } else if (shell == "zsh") {
    print(zsh_completion(commands()));
  } else if (shell == "fish") {
    print(fish_completion(commands()));
  } else {
    return fail(ErrorKind::kUsage, "completion knows bash, zsh and fish, not \"" + shell + "\"");
  }
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kCompletion{
    .name = "completion",
    .group = Group::kOther,
    .summary = "Print a completion script for bash, zsh or fish",
    .description =
        "Prints a script that lets the shell complete commands, options and their values. It is made from the "
        "same table as this help.",
    .options = {},
    .operands = {.name = "bash|zsh|fish", .help = "The shell", .least = 1, .most = 1},
    .example = "source <(tails-iptc completion bash)",
    .run = run_completion,
};

}  // namespace tails::cli
