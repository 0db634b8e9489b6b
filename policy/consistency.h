#pragma once

#include "policy/draft.h"
#include "policy/environment.h"

namespace tails::policy {

/// Reports as errors what is wrong between entries that are right each by itself: two of one name, networks that
/// overlap, automap without a port to send to, a user both allowed and denied.
void check_consistency(const Draft& draft, const Environment& environment, Report& report);

}  // namespace tails::policy
