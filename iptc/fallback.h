#pragma once

#include <string>
#include <vector>

#include "iptc/features.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// Older ways to say the same, for kernels that lack what the rules use: a pass between lowering and encoding.
namespace tails::iptc {

/// Rewrites the rules of `table` that use what `features` was asked for and lacks, where an older way does the same to
/// every packet:
/// - `conntrack` that asks for states only: `state`;
/// - `multiport`: one rule for each range of ports, no two of which meet in a packet;
/// - `comment`: nothing, for it tests nothing;
/// - NFLOG: LOG at the level debug, with the user. The verdict is the same, and the record of it goes elsewhere.
/// The rules keep their order and origins. What has no older way stays, and `encode` then names what is missing.
///
/// Returns what was replaced, as full sentences for the user; empty in the usual case, for which the rules are not even
/// looked at. Pure.
std::vector<std::string> replace_missing(ruleset::Table& table, const Features& features);

/// Asks the kernel for what `table` needs (`probe`), replaces what it lacks, and asks for what came in its place.
/// Errors as `probe`.
Result<std::vector<std::string>> fit(kernel::Kernel& kernel, ruleset::Table& table, Features& features);

}  // namespace tails::iptc
