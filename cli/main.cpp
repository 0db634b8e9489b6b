#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/confinement.h"
#include "cli/help.h"
#include "cli/hook.h"
#include "cli/json.h"
#include "cli/log.h"
#include "cli/parse.h"
#include "cli/progress.h"
#include "net/heap.h"

namespace {

using namespace tails;       // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::cli;  // NOLINT(google-build-using-namespace)

Result<ExitStatus> run_confined(const Command& command, const Invocation& invocation) {
  const Result<void> confined = confine_to(command, invocation.arguments);
  if (confined) return command.run(invocation);
  if (command.run_unconfined != nullptr) return command.run_unconfined(invocation, confined.error());
  Error error = confined.error();
  error.remedy = "Nothing was changed.";
  return tl::unexpected(std::move(error));
}

ExitStatus run(std::span<const char* const> words) {
  log::set_up(Screen::on(STDERR_FILENO, ColourChoice::kAuto), 0);
  const Result<Request> request = parse(commands(), words);
  if (!request) {
    log::error(request.error());
    return exit_status(request.error().kind);
  }
  const GlobalOptions& global = request->global;
  const Invocation invocation{global, request->arguments, Screen::on(STDOUT_FILENO, global.colour),
                              Screen::on(STDERR_FILENO, global.colour)};
  log::set_up(invocation.err, global.verbosity);
  progress::set_up(isatty(STDERR_FILENO) == 1 && global.verbosity >= 0);
  switch (request->kind) {
    case Request::Kind::kHelp:
      print(request->command == nullptr ? help(commands(), invocation.out) : help(*request->command, invocation.out));
      return ExitStatus::kDone;
    case Request::Kind::kVersion: print(fmt::format("tails-iptc {}\n", TAILS_VERSION)); return ExitStatus::kDone;
    case Request::Kind::kRun: break;
  }
  const Result<ExitStatus> status = run_confined(*request->command, invocation);
  progress::end();
  if (status) return *status;
  log::error(status.error());
  if (global.json) print(json::error(status.error()));
  return exit_status(status.error().kind);
}

/// As a hook of NetworkManager or ifupdown: nullopt where this is none.
std::optional<ExitStatus> run_as_hook(std::span<const char* const> words) {
  const auto variable = [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  const Result<std::optional<HookRun>> hook = read_hook(words, variable);
  if (hook && !*hook) return std::nullopt;
  log::set_up(Screen::on(STDERR_FILENO, ColourChoice::kNever), 0);
  if (!hook) {
    log::error(hook.error());
    return exit_status(hook.error().kind);
  }
  take_environment(**hook);
  if ((*hook)->words.empty() || hooks_wait_for_apply()) return ExitStatus::kDone;
  for (const std::string& name : (*hook)->refused) {
    log::warning(fmt::format("{} is not used: it holds more than addresses", name));
  }
  std::vector<const char*> command_line;
  for (const std::string& word : (*hook)->words) command_line.push_back(word.c_str());
  return run(command_line);
}

}  // namespace

int main(int argc, char** argv) {
  set_up_heap();
  const std::span<const char* const> words(argv, static_cast<size_t>(argc));
  if (const std::optional<ExitStatus> status = run_as_hook(words)) return static_cast<int>(*status);
  return static_cast<int>(run(words.subspan(argc > 0 ? 1 : 0)));
}
