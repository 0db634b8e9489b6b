#pragma once

#include <string>
#include <vector>

#include "leaktest/case.h"
#include "policy/policy.h"

namespace tails::leaktest {

/// Every attempt of a leak test, and what must listen in the machine for it. A function of the policy; what is expected
/// is `policy::decide`'s answer, for guests' own programs the policy's [[namespace]] entries. Nothing of it comes from
/// rules.
struct Plan {
  std::vector<Case> cases;  ///< Each at the index of its id.
  unsigned rounds = 1;
  std::vector<Port> tcp_services;  ///< At every address of the machine.
  std::vector<Endpoint> udp_services;
  std::vector<std::string> notices;  ///< What was left out, as sentences.
};

/// An account that no policy knows.
inline constexpr Uid kStranger{47110};

/// `is_quick`: plain TCP and UDP alone.
Plan make_plan(const policy::Policy& policy, bool is_quick);

}  // namespace tails::leaktest
