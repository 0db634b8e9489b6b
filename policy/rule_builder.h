#pragma once

#include <span>
#include <utility>
#include <vector>

#include "policy/policy.h"
#include "ruleset/rule_set.h"

/// Small pieces that lowering is written with.
namespace tails::policy {

/// The transport part of a rule: the protocol and the matches on its ports.
struct Transport {
  uint8_t protocol = 0;
  std::vector<ruleset::Match> matches;
};

/// What a grant's TCP rules look at beside the ports.
enum class Opening : uint8_t {
  kOnly,  ///< TCP must be a SYN: for grants.
  kAny,   ///< Every packet: for denials.
};

/// All `ports` from all of `from` (empty: from any), in as few rules as carry them: one range goes into the tcp or udp
/// match, several into multiport, which has fifteen places.
std::vector<Transport> transports(std::span<const PortGrant> ports, std::span<const PortRange> from, Opening opening);

/// TCP with SYN alone of SYN, ACK, FIN, RST; or, inverted, TCP past it.
ruleset::TcpMatch tcp_syn(bool inverted = false);

/// The states in which a grant for `protocol` counts: NEW for TCP, else NEW and ESTABLISHED.
StateSet grant_states(uint8_t protocol);

/// What one rule tests. Each function adds a test and returns the whole.
class Tests {
 public:
  Tests in(const InterfaceName& name) const;
  Tests out(const InterfaceName& name) const;
  Tests not_out(const InterfaceName& name) const;
  Tests from(const Prefix& prefix) const;
  Tests not_from(const Prefix& prefix) const;
  Tests to(const Prefix& prefix) const;
  Tests protocol(uint8_t number) const;
  Tests not_protocol(uint8_t number) const;
  Tests match(ruleset::Match match) const;
  Tests transport(const Transport& transport) const;
  Tests owner(Uid uid) const { return match(ruleset::OwnerMatch::is(uid)); }
  Tests state(StateSet states) const { return match(ruleset::StateMatch{states, false}); }

  ruleset::Rule rule(ruleset::Target target, ruleset::OriginIndex origin) const;

 private:
  ruleset::HeaderTest header_;
  std::vector<ruleset::Match> matches_;
};

/// Appends rules to one chain, each with its origin.
class ChainWriter {
 public:
  /// Both outlive the writer, and the chain stays where it is.
  ChainWriter(ruleset::RuleSet& rules, ruleset::Chain& chain) : rules_(rules), chain_(chain) {}

  void add(const Tests& tests, ruleset::Target target, const Origin& origin) {
    chain_.rules.push_back(tests.rule(std::move(target), rules_.intern(origin)));
  }

 private:
  ruleset::RuleSet& rules_;
  ruleset::Chain& chain_;
};

}  // namespace tails::policy
