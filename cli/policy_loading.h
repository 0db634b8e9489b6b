#pragma once

#include <span>
#include <string_view>

#include "cli/command.h"
#include "policy/environment.h"
#include "policy/read.h"
#include "policy/toml.h"

namespace tails::cli {

/// A policy with exceptions of the session, nothing said. kRefused where the system would not answer: that is no fault
/// of the policy's.
Result<policy::Loaded> load_or_refuse(std::string_view file_or_profile, const GlobalOptions& global,
                                      const policy::Environment& environment,
                                      std::span<const policy::Document> session);

}  // namespace tails::cli
