#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "policy/policy.h"
#include "proof/boxes.h"

namespace tails::proof {

/// What a policy's [[service]] entries say of packets, whatever the state and the TCP flags.
enum class ServiceSet : uint8_t {
  kGrants,   ///< `allow` of active services.
  kDenials,  ///< `deny` of all.
  kPlaces,   ///< Where something is granted to somebody, whoever sends.
};

/// The packets of one family and protocol in such a set, in canonical form; empty: none. From the policy alone, not
/// from its lowering. Nullopt where `canonical` is.
std::optional<std::vector<Box>> service_boxes(const policy::Policy& policy, Family family, uint8_t number,
                                              ServiceSet set);

}  // namespace tails::proof
