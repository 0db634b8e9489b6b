#include <unistd.h>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/json.h"
#include "cli/log.h"
#include "cli/parse.h"
#include "cli/progress.h"

namespace {

using namespace tails;       // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::cli;  // NOLINT(google-build-using-namespace)

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
  const Result<ExitStatus> status = request->command->run(invocation);
  progress::end();
  if (status) return *status;
  log::error(status.error());
  if (global.json) print(json::error(status.error()));
  return exit_status(status.error().kind);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<const char* const> words(argv, static_cast<size_t>(argc));
  return static_cast<int>(run(words.subspan(argc > 0 ? 1 : 0)));
}
