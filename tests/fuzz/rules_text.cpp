// Any text, as iptables-save's: read or refused, never worse. What was read is written in a form that reads as the same
// rules and is written the same again.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>

#include "ruleset/text_reader.h"
#include "ruleset/text_writer.h"

namespace {

[[noreturn]] void show_and_abort(const std::string& fact, const std::string& text) {
  std::fprintf(stderr, "%s\n%s", fact.c_str(), text.c_str());
  std::abort();
}

/// Words of an extension that nobody knows stand in the rules.
bool has_unknown_words(const tails::ruleset::RuleSet& rules) {
  using namespace tails::ruleset;
  const auto has_words = [](const Rule& rule) {
    const auto* const target = std::get_if<OpaqueTarget>(&rule.target);
    return (target != nullptr && !target->text.empty()) || std::ranges::any_of(rule.matches, [](const Match& match) {
             const auto* const opaque = std::get_if<OpaqueMatch>(&match);
             return opaque != nullptr && !opaque->text.empty();
           });
  };
  return std::ranges::any_of(rules.tables, [&](const Table& table) {
    return std::ranges::any_of(table.chains, [&](const Chain& c) { return std::ranges::any_of(c.rules, has_words); });
  });
}

}  // namespace

/// The first byte chooses the family ('4' and '6' do what they say), the text follows.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  if (size == 0) return 0;
  const Family family = (data[0] & 2) == 0 ? Family::kIpv4 : Family::kIpv6;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto rules = ruleset::read_save(text, family, "fuzz.rules");
  if (!rules) return 0;
  const ruleset::WriteOptions with_counters{.counters = true};
  const std::string written = ruleset::write_save(*rules, family, with_counters);
  const auto again = ruleset::read_save(written, family, "fuzz.rules");
  // An unknown extension's word may be an option of the rule's protocol as well: whose, -p decides, which now comes
  // first; and what follows it may be wrong for that option.
  if (has_unknown_words(*rules)) return 0;
  if (!again) show_and_abort(again.error().message, written);
  const std::string written_again = ruleset::write_save(*again, family, with_counters);
  if (written_again != written) show_and_abort(written, written_again);
  if (again->tables.size() != rules->tables.size()) show_and_abort("other tables", written);
  for (size_t i = 0; i < rules->tables.size(); ++i) {
    // Except for rates of -m limit: the tool's words for them round (docs/rules-text.md).
    if (written.find(" -m limit ") != std::string::npos) break;
    if (!rules->tables[i].says_the_same(again->tables[i])) show_and_abort("other rules", written);
  }
  return 0;
}
