#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "host/program_finder.h"
#include "net/descriptor.h"
#include "net/result.h"

namespace tails::host {

/// A process of its own that does what find_program does, so that whoever asks need not be allowed to look into all
/// processes. Ends with the asking process, or with this object. Not thread-safe.
class ProgramNames {
 public:
  /// Starts it; `confine` is its first step, and where that fails it finds nothing. Error (kRefused): no process, no
  /// pipe.
  static Result<ProgramNames> start(const std::function<Result<void>()>& confine);

  /// Waits for the answer. Nullopt: nobody known, or the process is gone.
  std::optional<Program> find(Uid user, uint8_t protocol, Port port);

 private:
  ProgramNames(Descriptor questions, Descriptor answers)
      : questions_(std::move(questions)), answers_(std::move(answers)) {}
  Descriptor questions_;
  Descriptor answers_;
};

}  // namespace tails::host
