#pragma once

#include <cstddef>
#include <vector>

#include "iptc/form.h"
#include "ruleset/match.h"
#include "ruleset/rule_set.h"

/// Matches of a rule to and from the kernel's bytes. Pure.
namespace tails::iptc {

/// Whether the header names a protocol with ports. multiport reads ports whatever the protocol is; without one of these
/// it reads something else.
bool names_ports(const ruleset::HeaderTest& header);

/// The revisions that can say `match` in a table of `family`, best first. Empty for an OpaqueMatch, which bears its
/// own, and for what no revision can hold.
Forms forms_of(const ruleset::Match& match, Family family);

/// Appends `match` as `form`, which is one of `forms_of`.
void write_match(const ruleset::Match& match, ExtensionId form, Abi abi, std::vector<std::byte>& out);

/// Appends the bytes that the match was read from. Its `data` is not empty or its name and revision have no payload.
void write_opaque(const ruleset::OpaqueMatch& match, Abi abi, std::vector<std::byte>& out);

/// Reads one match of a rule with this header. What is unknown, or would not come out again with the same bytes, is
/// an OpaqueMatch: another revision, unused bits, a protocol that the header does not name.
ruleset::Match read_match(const kernel::ExtensionView& view, Family family, const ruleset::HeaderTest& header, Abi abi);

}  // namespace tails::iptc
