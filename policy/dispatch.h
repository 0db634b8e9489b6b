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

/// "This user may, or must not, talk to these ports at this address": one cell of a service's allow or deny list.
struct ServiceCell {
  Uid user;
  IpAddress at;
  PortGrant ports;
  std::span<const PortRange> from;  ///< Source ports, empty: any. Of the policy, which outlives the dispatch.
  bool is_denied = false;
  ruleset::OriginIndex origin = ruleset::kNoOrigin;
};

/// Chains that give every packet of a table's OUTPUT what `cells` say of it: by user, then by address, protocol and
/// port. Denials beat grants. A packet that no cell grants or denies comes back from the first chain.
///
/// Invariants, on which the order of rules rests:
/// 1. Users, addresses and protocols part packets into disjoint sets, so a `goto` needs no way back.
/// 2. Of one user, address and protocol all denials are asked before any grant.
/// 3. Ports are cut into blocks of few cells; a cell that covers whole subtrees stands at their root, so it is stored
///    O(log n) times and a packet meets it once.
class Dispatch {
 public:
  /// `blocking`: the chain that a denied packet is sent to. `prefix`: the beginning of every chain's name, at most
  /// 8 bytes; the first chain has that name.
  Dispatch(Family family, std::string blocking, std::string prefix)
      : family_(family), blocking_(std::move(blocking)), prefix_(std::move(prefix)) {}

  /// The chains, the first one first. `cells` in any order.
  std::vector<ruleset::Chain> chains(std::vector<ServiceCell> cells) &&;

  /// The same where nobody asks for the user (INPUT): what is granted to one is granted. Without denials.
  std::vector<ruleset::Chain> chains_for_anyone(std::vector<ServiceCell> cells) &&;

 private:
  using Cells = std::span<ServiceCell>;

  /// Each writes one or several chains and returns the name of the one to go to.
  std::string users_chain(std::string name, std::span<const Cells> users);
  std::string cells_chain(std::string name, Cells cells);
  std::string ports_chain(std::string name, const std::vector<const ServiceCell*>& cells, PortRange within);

  /// Each fills the chain of one node.
  void by_address(ruleset::Chain& chain, Cells cells);
  void by_protocol(ruleset::Chain& chain, Cells cells);
  void by_port(ruleset::Chain& chain, Cells cells);
  void add(ruleset::Chain& chain, const ServiceCell& cell) const;

  std::string next_name();
  std::string finish(ruleset::Chain chain);

  Family family_;
  std::string blocking_;
  std::string prefix_;
  uint32_t count_ = 0;
  std::vector<ruleset::Chain> finished_;
};

}  // namespace tails::policy
