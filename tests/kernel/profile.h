#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "net/result.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"
#include "tests/kernel/harness/testbed.h"

namespace tails::testbed {

/// Account numbers of the built-in profiles for tests, on machines that lack the accounts: the argument of --user-map.
/// Debian's own numbers where it has some; amnesia is pinned by the profiles themselves.
inline constexpr std::string_view kAccounts =
    "root=0,proxy=13,_apt=42,nobody=65534,debian-tor=107,clearnet=108,htp=109,tails-iuk-get-target-file=110,"
    "tails-upgrade-frontend=111,Debian-gdm=112,amnesia=1000,i2psvc=120,i2pbrowser=121,tor-launcher=122";

namespace uid {
inline constexpr Uid kRoot{0}, kProxy{13}, kApt{42}, kNobody{65534}, kTor{107}, kClearnet{108}, kHtp{109},
    kUpgrader{110}, kUpgradeFrontend{111}, kGreeter{112}, kI2p{120}, kI2pBrowser{121}, kTorLauncher{122},
    kAmnesia{1000};
/// In no profile.
inline constexpr Uid kStranger{4711};
}  // namespace uid

/// Every account above, a stranger, and the numbers next to amnesia's.
std::vector<Uid> all_users();

/// A built-in profile with these accounts; I2P counts as installed, whatever this machine has.
Result<policy::Policy> profile(std::string_view name);

/// The names of the three.
inline constexpr std::array<const char*, 3> kProfiles = {"tails", "tails-i2p", "tails-classic"};

/// Guests that a testbed needs for the policy.
std::vector<Testbed::Guest> guests_of(const policy::Policy& policy);

/// Puts rules in force in a testbed's host, by the same transaction that `apply` makes.
Result<void> enforce(const Testbed& bed, const ruleset::RuleSet& rules);

}  // namespace tails::testbed
