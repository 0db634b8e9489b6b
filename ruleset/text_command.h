#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "ruleset/rule_set.h"
#include "ruleset/text_token.h"

/// One line of options as iptables takes them: `-A OUTPUT -o lo -j ACCEPT`.
namespace tails::ruleset::text {

/// What a line asks for. Tokens live as long as the line.
struct Command {
  enum class Kind : uint8_t {
    kAppend,       ///< -A
    kInsert,       ///< -I, at the front
    kNewChain,     ///< -N
    kSetPolicy,    ///< -P
    kOtherFamily,  ///< A rule for the other family only (`-4`, `-6`), which this one does not see.
  };

  Kind kind = Kind::kAppend;
  Token chain;
  Token policy;             ///< kSetPolicy
  std::vector<Rule> rules;  ///< kAppend, kInsert: one for each pair of source and destination.
  /// The name behind -j or -g. The rules jump where the table has a chain of that name, and for -g always.
  std::optional<Token> jump;
  bool is_goto = false;
};

/// Whether the table has a chain of that name that is not built in.
using IsChain = std::function<bool(std::string_view)>;

/// Reads such a line. Options come in any order; long ones may be shortened as far as they are unique.
/// Fails also when more than `max_rules` rules come from the line.
Read<Command> read_command(const std::vector<Token>& tokens, Family family, const IsChain& is_chain, size_t max_rules);

}  // namespace tails::ruleset::text
