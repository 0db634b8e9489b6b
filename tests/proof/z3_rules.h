#pragma once

#include <z3++.h>

#include <map>
#include <string>

#include "net/packet.h"
#include "ruleset/rule_set.h"

namespace tails::proof::testing {

/// What a rule set does to packets of one hook, as formulas for Z3: run forwards, field by field as bit vectors. Shares
/// nothing with the diagrams but the rules.
class Z3Rules {
 public:
  /// A packet as free constants.
  Z3Rules(z3::context& context, const ruleset::RuleSet& rules, Family family, Hook hook);

  /// True of a packet that may exist at the hook.
  [[nodiscard]] const z3::expr& exists() const { return exists_; }
  [[nodiscard]] const z3::expr& accepted() const { return accepted_; }
  [[nodiscard]] const z3::expr& rejected() const { return rejected_; }
  [[nodiscard]] const z3::expr& logged() const { return logged_; }

  // For queries.
  [[nodiscard]] z3::expr state_is(ConnState state) const;
  [[nodiscard]] z3::expr protocol_is(uint8_t number) const;
  [[nodiscard]] z3::expr user_is(uint32_t uid) const;
  [[nodiscard]] z3::expr out_is(std::string_view name) const;
  [[nodiscard]] z3::expr destination_in(const Prefix& prefix) const;
  [[nodiscard]] z3::expr port_is(Port port) const;

  /// The packet of a model.
  [[nodiscard]] Packet packet(const z3::model& model) const;

 private:
  /// What rules see of a packet on its way; NAT and marks change it.
  struct State {
    z3::expr destination, destination_port, destination_type, mark, connmark, dscp;
  };
  /// A chain's outcome.
  struct Way;

  void run_table(ruleset::TableName name, std::string_view chain, bool gives_destination);
  void run_chain(const ruleset::Table& table, const ruleset::Chain& chain, Way& way, int depth);
  [[nodiscard]] z3::expr test(const ruleset::Rule& rule);
  [[nodiscard]] z3::expr test(const ruleset::Match& match);
  [[nodiscard]] z3::expr interface(const ruleset::InterfaceTest& test, const z3::expr& value, bool exists) const;
  [[nodiscard]] z3::expr address(const ruleset::AddressTest& test, const z3::expr& value);
  [[nodiscard]] z3::expr ports(const PortRange& range, const z3::expr& value);
  [[nodiscard]] z3::expr bits(uint64_t value, unsigned width) { return context_.bv_val(value, width); }
  [[nodiscard]] z3::expr bits(const IpAddress& address);
  [[nodiscard]] z3::expr yes(bool value) { return context_.bool_val(value); }
  [[nodiscard]] z3::expr icmp();
  [[nodiscard]] z3::expr has_flow() const;
  [[nodiscard]] z3::expr unknown(const std::string& name);
  State merged(const z3::expr& condition, const State& then, const State& otherwise) const;

  z3::context& context_;
  const ruleset::RuleSet& rules_;
  Family family_;
  Hook hook_;
  z3::expr protocol_, source_, destination_, source_port_, destination_port_, flags_, icmp_type_, icmp_code_, fragment_,
      in_, out_, has_uid_, uid_, gid_, state_, reply_, status_, mark_, connmark_, dscp_, source_type_,
      destination_type_, has_recorded_, recorded_address_, recorded_port_;
  State now_;
  z3::expr exists_, active_, accepted_, rejected_, logged_;
  int unknowns_ = 0;
};

}  // namespace tails::proof::testing
