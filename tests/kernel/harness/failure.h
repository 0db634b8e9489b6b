#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include "net/result.h"

namespace tails::testbed {

/// "WHAT: Operation not permitted (1)", from errno as it is now: call it at the failing call.
inline tl::unexpected<Error> system_failure(const std::string& what) {
  const int number = errno;
  return fail(ErrorKind::kRefused, what + ": " + std::strerror(number) + " (" + std::to_string(number) + ")", {},
              number);
}

}  // namespace tails::testbed
