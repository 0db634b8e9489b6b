#pragma once

#include <string>
#include <utility>

#include "net/result.h"

namespace tails::cli {

/// The words of the command line are not as they must be: kind kUsage.
inline tl::unexpected<Error> misused(std::string fact, std::string remedy = {}) {
  return fail(ErrorKind::kUsage, std::move(fact), std::move(remedy));
}

}  // namespace tails::cli
