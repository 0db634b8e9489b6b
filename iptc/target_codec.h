#pragma once

#include <cstddef>
#include <vector>

#include "iptc/form.h"
#include "ruleset/rule_set.h"
#include "ruleset/target.h"

/// Targets of a rule to and from the kernel's bytes. Pure.
namespace tails::iptc {

/// Whether the kernel holds it as a standard target: a verdict or a jump, written by `write_standard`.
bool is_standard(const ruleset::Target& target);

/// The revisions that can say `target` in a table of `family`, best first. Empty for a standard target, for an
/// OpaqueTarget, which bears its own, and for what no revision can hold.
Forms forms_of(const ruleset::Target& target, Family family);

/// Appends a standard target as RawTable has it, with its label.
void write_standard(const ruleset::Target& target, Abi abi, std::vector<std::byte>& out);

/// Appends `target` as `form`, which is one of `forms_of`.
void write_target(const ruleset::Target& target, ExtensionId form, Abi abi, std::vector<std::byte>& out);

/// Appends the bytes that the target was read from.
void write_opaque(const ruleset::OpaqueTarget& target, Abi abi, std::vector<std::byte>& out);

/// Reads the target of a rule; `is_goto` is the header's flag. What is unknown, or would not come out again with the
/// same bytes, is an OpaqueTarget.
ruleset::Target read_target(const kernel::ExtensionView& view, Family family, bool is_goto, Abi abi);

}  // namespace tails::iptc
