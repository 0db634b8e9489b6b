#pragma once

#include <functional>
#include <vector>

#include "cli/command.h"
#include "policy/toml.h"

namespace tails::cli {

/// What `session add` and `session remove` have in common: the policy that is in force, put in force again with other
/// exceptions, proved and as one transaction. Where no policy is in force (or all traffic is blocked by `lockdown`),
/// the rules are proved but not touched.
struct SessionChange {
  std::vector<policy::Document> session;    ///< All exceptions as they are to be.
  bool must_fit = false;                    ///< An exception that does not fit is an error and not left out.
  std::function<Result<void>()> before;     ///< Right before the transaction; may refuse.
  std::function<Result<void>()> take_back;  ///< When the transaction or `after` failed; the error says what remains.
  std::function<Result<void>()> after;      ///< When it is done; may refuse, and then the rules go back.
  std::string success;                      ///< "Added exception 1"
};
Result<ExitStatus> change_session(const Invocation& invocation, const SessionChange& change);

}  // namespace tails::cli
