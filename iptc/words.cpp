#include "iptc/words.h"

#include <fmt/format.h>

#include "iptc/kernel/extensions.h"
#include "iptc/kernel/words.h"

namespace tails::iptc {

std::string rule_words(const ruleset::RuleSet& rules, const ruleset::Table& table, const ruleset::Chain& chain,
                       const ruleset::Rule& rule) {
  const auto position = &rule - chain.rules.data() + 1;
  std::string words = fmt::format("rule {} of chain {} in {}", position, chain.name,
                                  kernel::table_words(table.family, to_string(table.name)));
  if (const ruleset::Origin* const origin = rules.origin(rule.origin))
    words += fmt::format(" ({})", to_string(*origin));
  return words;
}

Error missing_extension(Family family, kernel::ExtensionKind kind, std::string_view name, std::string_view needed_by,
                        bool is_too_old) {
  const bool is_match = kind == kernel::ExtensionKind::kMatch;
  const std::string what =
      fmt::format("{} \"{}\" of {}", is_match ? "match" : "target", name, kernel::family_name(family));
  if (is_too_old) {
    return {ErrorKind::kRefused, fmt::format("this kernel's {} is too old for {}", what, needed_by),
            "A newer kernel can do it, or the policy must ask for less.", 0};
  }
  const auto source = kernel::source_of(family, kind, name);
  std::string remedy;
  if (!source.module.empty()) {
    remedy =
        fmt::format("Load it with `modprobe {}`; a kernel of your own needs {}=y or =m.", source.module, source.option);
  }
  return {ErrorKind::kRefused, fmt::format("this kernel has no {}, which {} needs", what, needed_by), remedy, 0};
}

Error direction_needs_newer(Family family, std::string_view needed_by) {
  return {ErrorKind::kRefused,
          fmt::format("this kernel's match \"conntrack\" of {} is too old for {}, which tests the direction of a flow",
                      kernel::family_name(family), needed_by),
          "Before Linux 2.6.39 (conntrack revision 3) a test of the direction means its opposite, so that it cannot be "
          "used. Take a newer kernel.",
          0};
}

}  // namespace tails::iptc
