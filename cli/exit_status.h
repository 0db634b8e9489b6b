#pragma once

#include <cstdint>

#include "net/result.h"

namespace tails::cli {

/// What the process tells its caller. The numbers are a contract.
enum class ExitStatus : uint8_t {
  kDone = 0,        ///< Done; or: it holds, is in force, is the same.
  kNo = 1,          ///< The answer is no: policy rejected, drift, difference.
  kUsage = 2,       ///< Wrong usage.
  kRefused = 3,     ///< The system refused; nothing was changed.
  kLockedDown = 4,  ///< The system refused half-way; all traffic is blocked.
};

constexpr ExitStatus exit_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kRejected: return ExitStatus::kNo;
    case ErrorKind::kUsage: return ExitStatus::kUsage;
    case ErrorKind::kRefused: return ExitStatus::kRefused;
    case ErrorKind::kLockedDown: return ExitStatus::kLockedDown;
  }
  return ExitStatus::kRefused;
}

}  // namespace tails::cli
