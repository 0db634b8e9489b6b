#pragma once

#include "policy/draft.h"

namespace tails::policy {

/// Warns of what is legal but surely not meant: a service that no user may reach, an entry that another makes
/// pointless. The built-in profiles are free of warnings.
void check_for_warnings(const Draft& draft, Report& report);

}  // namespace tails::policy
