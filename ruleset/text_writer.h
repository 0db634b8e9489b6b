#pragma once

#include <string>
#include <string_view>

#include "ruleset/rule_set.h"

/// The text form of rules, as iptables-save(8) and ip6tables-save(8) of iptables 1.8.9 print it (legacy variant):
/// for the same rules the same bytes, except that the comment lines with the tool's name and the time are left out.
///
/// What the text form itself cannot hold is written all the same, and so that no tool takes it for something else:
/// an opaque match or target that was read from a kernel becomes `-m NAME --opaque REVISION:HEX`, which
/// iptables-restore refuses and `read_save` reads back.
///
/// Everything here is pure and thread-safe.
namespace tails::ruleset {

struct WriteOptions {
  /// Packets and bytes: `[1:2]` before each rule, and those of a policy (else `[0:0]`). As `iptables-save -c`.
  bool counters = false;
};

/// All tables of `family` in the rule set's order; empty where there is none.
/// A rule whose target is a jump to a chain that the table lacks is written as it stands.
std::string write_save(const RuleSet& rules, Family family, const WriteOptions& options = {});

/// One table: "*filter", the chains, the rules, "COMMIT", each with its newline.
std::string write_save(const Table& table, const WriteOptions& options = {});

/// One rule without counters and newline: "-A OUTPUT -o lo -j ACCEPT".
std::string write_rule(Family family, std::string_view chain, const Rule& rule);

/// What `rule` names: a rule as above, a policy as "-P OUTPUT DROP", and for the default-constructed "".
std::string write_rule(const RuleRef& rule);

/// One match as in a rule, without leading space: "-m owner --uid-owner 1000".
std::string write_match(Family family, const Match& match);

/// One target as in a rule, without leading space: "-j LOG --log-uid", "-g lan", and "" for Continue.
std::string write_target(Family family, const Target& target);

}  // namespace tails::ruleset
