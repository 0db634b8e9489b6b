#include "cli/flow_options.h"

#include "cli/accounts.h"
#include "cli/operand.h"

namespace tails::cli {

Result<std::optional<Uid>> flow_user(const Invocation& invocation, const policy::Environment& environment) {
  const auto name = invocation.arguments.value("--user");
  if (!name) return std::nullopt;
  const auto uid =
      find_account(*name, invocation.global, accounts_in_charge(invocation.global, environment), environment);
  if (!uid) return tl::unexpected(uid.error());
  return *uid;
}

}  // namespace tails::cli
