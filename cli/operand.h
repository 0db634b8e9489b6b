#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "policy/environment.h"
#include "policy/policy.h"
#include "policy/toml.h"
#include "ruleset/rule_set.h"

/// What the user means by "the policy", "live", a profile, a policy file or a file of iptables-save: always a rule set.
namespace tails::cli {

/// How help texts describe an operand.
inline constexpr std::string_view kOperandHelp =
    "live, a built-in profile, a policy file (.toml), or rules as iptables-save prints them: v4.rules[,v6.rules]";

struct Operand {
  std::string name;  ///< For messages: "the live rules", "policy \"tails\" (tails.toml)", "v4.rules".
  ruleset::RuleSet rules;
  std::optional<policy::Policy> policy;  ///< Where the rules come from a policy.
  /// Whose names stand for the numbers of accounts: `policy`, else the policy in charge if it can be read.
  std::vector<policy::User> accounts;
  /// Where exceptions of the session were merged: the policy as it is without them.
  std::optional<policy::Policy> without_session{};
  bool has_owner_tags = false;  ///< Rules of add_owner_tags are among `rules`.
};

/// A whole file, at most 256 MiB. kRefused when it cannot be read, kRejected when it is larger.
Result<std::string> read_file(const std::string& path);

/// --policy, else /etc/tails-iptc/policy.toml where that exists (readable or not), else "tails".
std::string policy_in_charge(const GlobalOptions& global);

/// The accounts that the policy in charge names, to show them beside numbers. A courtesy: a policy that cannot be read
/// has none, and nothing is said.
std::vector<policy::User> accounts_in_charge(const GlobalOptions& global, const policy::Environment& environment);

/// Loads a policy and says its warnings and notices.
Result<policy::Policy> load_policy(std::string_view file_or_profile, const GlobalOptions& global,
                                   const policy::Environment& environment);

/// The policy in charge with the exceptions of this session, as rules. An exception that does not fit the policy (it
/// was edited since) is left out with a warning: that only closes.
Result<Operand> load_policy_in_charge(const GlobalOptions& global, const policy::Environment& environment);

/// The same with the policy and the exceptions given.
Result<Operand> load_policy_with_session(std::string_view file_or_profile, const GlobalOptions& global,
                                         const policy::Environment& environment,
                                         const std::vector<policy::Document>& session);

/// Whatever `text` names. A file counts as iptables-save text when its name ends in ".rules", when two are given with a
/// comma, or when its first line that is neither blank nor a comment starts with '*'.
Result<Operand> load_operand(std::string_view text, const GlobalOptions& global,
                             const policy::Environment& environment);

/// The command's first operand; the policy in charge where it has none.
Result<Operand> load_operand_or_policy(const Invocation& invocation, const policy::Environment& environment);

/// What those rules should do: the policy that they come from, else the policy in charge with the exceptions of this
/// session.
Result<policy::Policy> policy_for(const Operand& operand, const GlobalOptions& global,
                                  const policy::Environment& environment);

}  // namespace tails::cli
