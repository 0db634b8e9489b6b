#include "tests/kernel/profile.h"

#include "policy/profiles.h"
#include "policy/read.h"
#include "ruleset/text_writer.h"
#include "tests/kernel/harness/program.h"

namespace tails::testbed {
namespace {

/// A machine that has every path and no account, and no network of its own: the profiles are read alike everywhere.
class BareMachine final : public policy::Environment {
 public:
  Result<std::optional<Uid>> user(std::string_view) const override { return std::nullopt; }
  std::vector<std::string> user_names() const override { return {}; }
  bool path_exists(const std::string&) const override { return true; }
  Result<std::vector<InterfaceNetwork>> networks() const override { return std::vector<InterfaceNetwork>{}; }
};

}  // namespace

std::vector<Uid> all_users() {
  using namespace uid;
  return {kRoot,    kProxy, kApt,        kNobody,      kTor,     kClearnet, kHtp,     kUpgrader, kUpgradeFrontend,
          kGreeter, kI2p,   kI2pBrowser, kTorLauncher, kAmnesia, kStranger, Uid{999}, Uid{1001}};
}

Result<policy::Policy> profile(std::string_view name) {
  const auto accounts = policy::parse_user_map(kAccounts);
  if (!accounts) return tl::unexpected(accounts.error());
  auto loaded = policy::load(name, BareMachine(), *accounts);
  if (!loaded) return tl::unexpected(loaded.error());
  return std::move(loaded->policy);
}

std::vector<Testbed::Guest> guests_of(const policy::Policy& policy) {
  std::vector<Testbed::Guest> guests;
  for (const policy::Namespace& space : policy.namespaces) guests.push_back({space.name, space.host});
  return guests;
}

Result<void> enforce(const Testbed& bed, const ruleset::RuleSet& rules) {
  const Inside inside(bed.host);
  for (const auto& [family, program] :
       {std::pair(Family::kIpv4, "iptables-legacy-restore"), std::pair(Family::kIpv6, "ip6tables-legacy-restore")}) {
    const std::string text = ruleset::write_save(rules, family);
    auto loaded = run_checked({.arguments = {program}, .input = text, .has_private_run = true});
    if (!loaded) return tl::unexpected(loaded.error());
  }
  return {};
}

}  // namespace tails::testbed
