#include "cli/flow_options.h"

#include "cli/accounts.h"

namespace tails::cli {

Result<std::optional<Uid>> flow_user(const Invocation& invocation, const policy::Environment& environment) {
  const auto name = invocation.arguments.value("--user");
  if (!name) return std::nullopt;
  const auto uid = find_account(*name, invocation.global, nullptr, environment);
  if (!uid) return tl::unexpected(uid.error());
  return *uid;
}

}  // namespace tails::cli
