#include "tests/kernel/profile.h"

#include "iptc/files.h"
#include "iptc/kernel/kernel.h"
#include "iptc/transaction.h"
#include "policy/profiles.h"
#include "policy/read.h"
#include "tests/kernel/harness/scratch_directory.h"

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
  const ScratchDirectory scratch;
  const Inside inside(bed.host);
  const auto kernel = iptc::kernel::running_kernel();
  const auto files = iptc::system_files();
  iptc::Options options;
  options.policy = "test";
  options.lock_path = scratch.path() + "/xtables.lock";
  options.run_directory = scratch.path() + "/tails-iptc";
  const auto outcome = iptc::commit({*kernel, *files}, rules, options);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->failure) return tl::unexpected(*outcome->failure);
  return {};
}

}  // namespace tails::testbed
