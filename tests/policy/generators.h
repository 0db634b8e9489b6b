#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/packet.h"
#include "policy/policy.h"
#include "ruleset/evaluator.h"
#include "tests/policy/dice.h"

/// Policies and packets for random tests (library tails_policy_generators).
namespace tails::testing {

/// A built-in profile with profile_users(); `has_i2p` answers `when`. Aborts when the profile does not load.
policy::Policy profile(std::string_view name, bool has_i2p = true);

/// A policy as `read` could have made it: every value is one that it lets through. Small pools of users, ports and
/// networks, so that entries meet.
policy::Policy random_policy(Dice& dice);

/// Packets near a policy's own addresses, ports, users and interfaces, and just beside them; half of them aimed at one
/// of its entries with a field or two changed. Every field of a Packet that the policy could look at takes every kind
/// of value in time.
class PacketGenerator {
 public:
  /// Keeps a reference to `policy`.
  PacketGenerator(const policy::Policy& policy, uint64_t seed);
  PacketGenerator(policy::Policy&& policy, uint64_t seed) = delete;
  Packet next();

 private:
  void aim(Packet& packet);
  void disturb(Packet& packet);
  Packet anything();
  IpAddress address(Family family);

  Dice dice_;
  const policy::Policy& policy_;
  std::vector<IpAddress> v4_addresses_;
  std::vector<IpAddress> v6_addresses_;
  std::vector<Port> ports_;
  std::vector<std::optional<Uid>> uids_;
  std::vector<InterfaceName> interfaces_;
};

/// For a failure's message.
std::string describe(const Packet& packet);

/// Where the rules and the policy say different things of a packet: a text with both. Nullopt when they agree on the
/// verdict, the redirect and the log. A rate limit leaves the log of the rules open, never the verdict.
std::optional<std::string> disagreement(const policy::Policy& policy, const ruleset::Evaluator& rules,
                                        const Packet& packet);

}  // namespace tails::testing
