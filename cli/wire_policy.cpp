#include "cli/wire_policy.h"

#include "cli/operand.h"
#include "cli/proof_check.h"
#include "policy/lower_owner_tags.h"
#include "policy/system_environment.h"

namespace tails::cli {

Result<WirePolicy> load_wire_policy(const GlobalOptions& global, std::string_view owner) {
  const policy::SystemEnvironment environment;
  Result<Operand> loaded = load_policy_in_charge(global, environment);
  if (!loaded) return tl::unexpected(loaded.error());
  if (auto holds = proof_check(*loaded, global, environment)(loaded->rules); !holds) {
    return tl::unexpected(holds.error());
  }
  WirePolicy result{*std::move(loaded->policy), std::move(loaded->rules), {}};
  fastpath::WireView& view = result.view;
  view.pass_arp = result.policy.wire.pass_arp;
  view.pass_dhcp = result.policy.wire.pass_dhcp;
  view.owner_source = owner == "none"   ? fastpath::OwnerSource::kNone
                      : owner == "vlan" ? fastpath::OwnerSource::kVlan
                                        : fastpath::OwnerSource::kDscp;
  if (view.owner_source == fastpath::OwnerSource::kNone) return result;
  auto tags = policy::owner_tags(result.policy);
  if (!tags) return tl::unexpected(tags.error());
  view.owners = *std::move(tags);
  return result;
}

}  // namespace tails::cli
