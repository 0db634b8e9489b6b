#pragma once

#include <string>

namespace tails {

/// "permission denied (EPERM)", "no space left on device (ENOSPC)"; a number that the C library does not know is shown
/// as such.
std::string errno_words(int number);

/// "EPERM"; the number where it has no name.
std::string errno_name(int number);

}  // namespace tails
