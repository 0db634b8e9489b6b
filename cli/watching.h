#pragma once

#include <chrono>

#include "cli/command.h"

namespace tails::cli {

/// What every command that watches takes.
inline constexpr OptionSpec kForOption{
    .name = "--for", .value = "SECONDS", .help = "End after this time; otherwise on Ctrl-C"};

/// How long a command watches: until Ctrl-C or SIGTERM, or until the time of `--for` is over. One per process, because
/// signals are.
class Watching {
 public:
  /// How long one look may wait for news: so quickly is Ctrl-C heeded.
  static constexpr std::chrono::milliseconds kPatience{200};

  /// From now on the two signals end it. Errors (kUsage): `--for` is no number of seconds.
  static Result<Watching> begin(const Invocation& invocation);
  [[nodiscard]] bool goes_on() const;

 private:
  explicit Watching(std::chrono::steady_clock::time_point end) : end_(end) {}
  std::chrono::steady_clock::time_point end_;
};

}  // namespace tails::cli
