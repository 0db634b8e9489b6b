#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "iptc/form.h"
#include "ruleset/rule_set.h"

/// One rule to and from one entry. Pure.
namespace tails::iptc {

/// How one rule stands, or shall stand, in the kernel: what `ruleset::Rule` does not say, because it changes no
/// meaning.
struct RuleForm {
  std::vector<std::optional<ExtensionId>> matches;  ///< One for each match; empty for an opaque one.
  std::optional<ExtensionId> target;                ///< Empty for a standard or opaque target.
  uint16_t ignored_protocol = 0;                    ///< Header::ignored_protocol
};

struct DecodedRule {
  ruleset::Rule rule;
  RuleForm form;
};

/// Appends the entry of `rule` in this form. False, and `out` as it was: it would be longer than an entry can be.
bool write_rule(const ruleset::Rule& rule, Family family, const RuleForm& form, Abi abi, std::vector<std::byte>& out);

/// Reads any entry; never fails. What it does not know becomes opaque, so that `write_rule` of the result gives the
/// entry's bytes again (as `kernel::RawTable` has them).
DecodedRule read_rule(const kernel::EntryView& entry, Family family, Abi abi = kernel::kNativeAbi);

}  // namespace tails::iptc
