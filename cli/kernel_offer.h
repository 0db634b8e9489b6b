#pragma once

#include <optional>
#include <string>
#include <vector>

#include "iptc/features.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::cli {

/// What the running kernel offers to xtables, and whether that does for a policy.
struct KernelOffer {
  struct Extension {
    Family family = Family::kIpv4;
    bool is_match = true;
    std::string name;
    std::vector<unsigned> revisions;  ///< Of those that this program writes; empty: not there.
  };

  std::string release;  ///< "6.1.0-13-amd64" (uname -r)
  bool has_ipv6 = true;
  std::vector<std::string> tables;     ///< That exist in this network namespace, "ip filter".
  std::vector<Extension> extensions;   ///< Empty unless all were asked for.
  std::vector<std::string> instead;    ///< Older ways that the policy's rules take, as full sentences.
  std::optional<std::string> refusal;  ///< Why `apply` would be refused.
};

/// Asks for what `wanted` needs, and rewrites it as `apply` would (iptc/fallback.h), so that it can be compared with
/// what is live. `ask_all`: for everything that this program can write. Asking loads modules, as `apply` would.
/// Error: the kernel could not be asked (permission).
Result<KernelOffer> fit_to_kernel(iptc::kernel::Kernel& kernel, ruleset::RuleSet& wanted, bool ask_all);

}  // namespace tails::cli
