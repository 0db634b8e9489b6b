#pragma once

#include <string_view>

#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::ruleset {

/// Reads rules in the form of iptables-save(8), of whatever tool or hand wrote them.
///
/// Result: the tables of the text in its order, all of `family`. In each the built-in chains come first, in the order
/// of hooks, those that the text leaves out added with policy ACCEPT (as in a fresh network namespace); then the user
/// chains by name. Every rule's origin is `file_name` and its line, with an empty entry.
///
/// Read are `*table`, `:CHAIN POLICY [packets:bytes]`, `COMMIT`, blank lines and lines that start with `#`, and of the
/// commands -A, -I (at the front only), -N, -P, each with the options in any order and spelling that iptables 1.8.9
/// knows (long options shortened as far as they are unique; `! -s X` and `-s ! X`).
///
/// What is not known is never left out: a match or an option of a match that is not in `Match` becomes an OpaqueMatch,
/// a target that is neither in `Target` nor a chain of the table an OpaqueTarget. A name that is both a chain and a
/// target means the chain, as in the kernel. Service, protocol, host, user and group names are not looked up: protocols
/// have their IANA names, the rest must be numbers.
///
/// Fails with ErrorKind::kRejected, the message laid out as `file:line:column: fact`, the source line and a caret, when
/// the text is not of this form (also: COMMIT missing, a chain declared twice, a table twice, over 2^32-1 lines).
/// Time and memory grow linearly with the text. Pure, thread-safe.
Result<RuleSet> read_save(std::string_view text, Family family, std::string_view file_name);

}  // namespace tails::ruleset
