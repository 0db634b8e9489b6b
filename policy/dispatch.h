#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "policy/policy.h"
#include "ruleset/rule_set.h"

/// The rules of very many services as a tree of chains, so that a packet passes a few dozen rules and not all.
namespace tails::policy {

/// "This user, these ports at this address": one cell of a service's allow or deny list, of one protocol.
struct ServiceCell {
  Uid user;
  IpAddress at;
  PortRange ports;
  std::span<const PortRange> from;  ///< Source ports, empty: any. Of the policy, which outlives the dispatch.
  ruleset::OriginIndex origin = ruleset::kNoOrigin;
};

/// Chains that send every packet of one protocol that some of `cells` names to one target; every other packet comes
/// back from the first chain. By user, then by address, then by port.
///
/// What all cells have in common (protocol, state, flags, interface) is not tested in here: the rule that jumps to the
/// first chain does, once. Grants and denials are two trees, denials asked first.
///
/// Invariants, on which the order of rules rests:
/// 1. Users and addresses part packets into disjoint sets, so a `goto` needs no way back.
/// 2. Ports are cut into blocks of few cells; a cell that covers whole subtrees stands at their root, so it is stored
///    O(log n) times and a packet meets it once.
class Dispatch {
 public:
  /// `number`: protocol::kTcp or kUdp. `target`: what a leaf does. `prefix`: the beginning of every chain's name, at
  /// most 8 bytes; the first chain has that name.
  Dispatch(uint8_t number, std::string prefix, ruleset::Target target)
      : protocol_(number), prefix_(std::move(prefix)), target_(std::move(target)) {}

  /// The chains, the first one first. `cells` in any order.
  std::vector<ruleset::Chain> chains(std::vector<ServiceCell> cells) &&;

  /// The same where nobody asks for the user (INPUT): what is granted to one is granted.
  std::vector<ruleset::Chain> chains_for_anyone(std::vector<ServiceCell> cells) &&;

 private:
  using Cells = std::span<const ServiceCell>;

  /// Each writes one or several chains and returns the name of the one to go to.
  std::string users_chain(std::string name, std::span<const Cells> users);
  std::string cells_chain(std::string name, Cells cells);
  std::string ports_chain(std::string name, std::span<const ServiceCell* const> cells, PortRange within);

  void by_address(ruleset::Chain& chain, Cells cells);
  void by_port(ruleset::Chain& chain, std::span<const ServiceCell* const> cells, PortRange within);
  void add(ruleset::Chain& chain, const ServiceCell& cell) const;

  std::string next_name();
  std::string finish(ruleset::Chain chain);

  uint8_t protocol_;
  std::string prefix_;
  ruleset::Target target_;
  uint32_t count_ = 0;
  std::vector<ruleset::Chain> finished_;
};

}  // namespace tails::policy
