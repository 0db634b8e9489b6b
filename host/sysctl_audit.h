#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/finding.h"
#include "host/machine_files.h"
#include "net/result.h"

/// Kernel parameters of the network: as they are now, in the calling thread's network namespace, and as a boot will
/// set them.
namespace tails::host {

/// Name and value, in the order in which they are to be written: "all" and "default" of interfaces before single ones,
/// because writing "all" changes every interface (net.ipv6.conf.all.disable_ipv6 takes ::1 away until "lo" gives it
/// back).
using Settings = std::vector<std::pair<std::string, int64_t>>;
Settings in_order(const std::map<std::string, int64_t>& wanted);

/// What the policy names, and what any machine behind a filter should have: no forwarding but for guests, no route to
/// 127/8 from outside (route_localnet), sources checked (rp_filter), no redirects followed; interface by interface.
struct SysctlWish {
  std::map<std::string, int64_t> wanted;
  bool may_forward = false;  ///< A guest with Internet access is up.
};
Findings audit_sysctls(const SysctlWish& wish);

/// What sysctl.d(5) will set at boot otherwise than wanted; of several files the last one counts.
Findings audit_sysctl_files(const MachineFiles& files, const std::map<std::string, int64_t>& wanted);

/// What has to be written so that audit_sysctls finds nothing, in its order: parameters that this kernel lacks and
/// those that have their value already are left out.
Result<Settings> missing_settings(const SysctlWish& wish);

/// Writes them in order. A refusal takes back those that were written. The values before of all that this changed, for
/// put_settings_back.
Result<Settings> write_settings(const Settings& settings);

/// Writes them in order, all that can be written. Error: the first that could not.
Result<void> put_settings_back(const Settings& before);

}  // namespace tails::host
