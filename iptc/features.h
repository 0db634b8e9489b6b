#pragma once

#include <array>
#include <bitset>
#include <optional>

#include "iptc/form.h"
#include "iptc/kernel/kernel.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::iptc {

/// Which revisions of which extensions a kernel offers, as far as it was asked. A plain value.
class Features {
 public:
  /// Offers everything we know; for tests and for text.
  static Features all();

  [[nodiscard]] bool offers(Family family, ExtensionId id) const { return yes_[index(family)].test(bit(id)); }
  void set(Family family, ExtensionId id, bool offered) {
    known_[index(family)].set(bit(id));
    yes_[index(family)].set(bit(id), offered);
  }
  [[nodiscard]] bool is_known(Family family, ExtensionId id) const { return known_[index(family)].test(bit(id)); }
  /// The first of `forms` that is offered.
  [[nodiscard]] std::optional<ExtensionId> choose(Family family, const Forms& forms) const;

 private:
  static size_t index(Family family) { return family == Family::kIpv4 ? 0 : 1; }
  static size_t bit(ExtensionId id) { return static_cast<size_t>(id); }
  std::array<std::bitset<kernel::kExtensionCount>, 2> known_;
  std::array<std::bitset<kernel::kExtensionCount>, 2> yes_;
};

/// Asks the kernel for what `table` needs and not more: a question about an extension loads its module. `features`
/// keeps what was asked before. Error: the kernel could not be asked (permission, no xtables).
Result<void> probe(kernel::Kernel& kernel, const ruleset::Table& table, Features& features);
/// The same for one target.
Result<void> probe(kernel::Kernel& kernel, const ruleset::Target& target, Family family, Features& features);
/// The same for every table.
Result<void> probe(kernel::Kernel& kernel, const ruleset::RuleSet& rules, Features& features);

/// Asks for everything we can write, for a report. Loads modules.
Result<Features> probe_all(kernel::Kernel& kernel, Family family);

}  // namespace tails::iptc
