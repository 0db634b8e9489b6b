#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "net/diagnostic.h"
#include "net/result.h"
#include "policy/environment.h"
#include "policy/policy.h"
#include "policy/toml.h"

/// From text to a Policy. Most callers want `load`; `read` is its pure middle.
///
///     SystemEnvironment machine;
///     auto loaded = load("tails", machine, *parse_user_map("amnesia=1000,clearnet=1001"));
///     if (!loaded) …                        // loaded.error().message: every error of the file, laid out with carets
///     render(loaded->remarks)               // warnings and notices, for standard error
///     lower(loaded->policy), decide(loaded->policy, packet)
namespace tails::policy {

/// What came of reading: a policy, or errors; and what else is to be said.
struct Reading {
  std::optional<Policy> policy;         ///< Absent exactly when an error is among the diagnostics.
  std::vector<Diagnostic> diagnostics;  ///< All of them, in the order of files and lines.
};

/// Reads the policy file `documents[0]` and the drop-ins behind it, in this order. Pure but for what it asks of
/// `environment`; every account is resolved here, so nothing can fail over a name later.
Reading read(std::span<const Document> documents, const Environment& environment, const UserMap& user_map = {});

/// A policy without errors, with its warnings and notices.
struct Loaded {
  Policy policy;
  std::vector<Diagnostic> remarks;
};

/// Loads a built-in profile by its name, or a policy file by its path with the drop-ins `policy.d/*.toml` beside it,
/// merged in the names' order (bytes). A profile's name wins over a file of that name: write "./tails" for the file.
/// Fails: kRejected with all diagnostics as the message, or because the file is not safe to trust (see file.h);
/// kRefused when a file cannot be opened or read; kUsage when `file_or_profile` is neither a profile nor a file.
/// `session`: exceptions to merge behind the policy's own drop-ins, also behind a profile.
Result<Loaded> load(std::string_view file_or_profile, const Environment& environment, const UserMap& user_map = {},
                    std::span<const Document> session = {});

/// "amnesia=1000,clearnet=1001", the argument of --user-map; empty gives no pins. Fails with kUsage: no "=", an empty
/// name, a number that is none, 4294967295, a name twice.
Result<UserMap> parse_user_map(std::string_view text);

}  // namespace tails::policy
