#pragma once

#include <span>
#include <string>

#include "net/result.h"

namespace tails::confine {

/// From now on files can be made, changed and removed only at and below `places` (Landlock, landlock(7)), by this
/// process and all that it starts; what is open stays open. Asked again, both limits hold. For a place that is missing
/// the folder that it would be made in counts. Needs no_new_privs. False: this kernel has no Landlock, or it is
/// switched off. Error (kRefused): it has, and would not.
Result<bool> write_only_to(std::span<const std::string> places);

}  // namespace tails::confine
