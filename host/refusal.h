#pragma once

#include <string>

#include "net/result.h"

namespace tails::host {

/// Of kind kRefused, "`what`: the words of `number`", an errno; who lacks the permission is told to run as root.
tl::unexpected<Error> refused(const std::string& what, int number);

}  // namespace tails::host
