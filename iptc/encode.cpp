#include "iptc/encode.h"

#include <fmt/format.h>

#include <algorithm>

#include "iptc/header_codec.h"
#include "iptc/kernel/words.h"
#include "iptc/match_codec.h"
#include "iptc/rule_codec.h"
#include "iptc/target_codec.h"
#include "iptc/words.h"

namespace tails::iptc {
namespace {

using kernel::ExtensionKind;

class Encoder {
 public:
  Encoder(const ruleset::RuleSet& rules, const ruleset::Table& table, const Features& features, kernel::Abi abi)
      : rules_(rules), table_(table), features_(features), abi_(abi) {}

  Result<kernel::RawTable> run() {
    raw_.family = table_.family;
    raw_.name = std::string(to_string(table_.name));
    std::vector<const ruleset::Chain*> chains;
    for (const ruleset::Chain& chain : table_.chains) chains.push_back(&chain);
    // Not std::ranges: clang 14 does not take the subrange that libstdc++ 12 returns there.
    const auto first_user =
        std::stable_partition(chains.begin(), chains.end(), [](const auto* c) { return c->is_builtin(); });
    std::sort(first_user, chains.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
    raw_.bytes.reserve(table_.rule_count() * kTypicalEntry);
    for (const ruleset::Chain* chain : chains) {
      if (auto done = add(*chain); !done) return tl::unexpected(done.error());
    }
    return std::move(raw_);
  }

 private:
  /// What a rule of ours takes, roughly: one allocation then does for most tables.
  static constexpr size_t kTypicalEntry = 208;

  Result<void> add(const ruleset::Chain& chain) {
    kernel::RawChain raw;
    raw.name = chain.name;
    raw.begin = raw_.bytes.size();
    if (chain.policy) {
      const bool accepts = *chain.policy == ruleset::ChainPolicy::kAccept;
      raw.policy = accepts ? kernel::Policy::kAccept : kernel::Policy::kDrop;
      raw.packets = chain.counters.packets;
      raw.octets = chain.counters.bytes;
    }
    for (const ruleset::Rule& rule : chain.rules) {
      if (auto chosen = choose(chain, rule); !chosen) return chosen;
      if (!write_rule(rule, table_.family, form_, abi_, raw_.bytes)) {
        return fail(ErrorKind::kRefused, fmt::format("{} is longer than an entry can be", place(chain, rule)));
      }
    }
    raw.end = raw_.bytes.size();
    raw_.chains.push_back(std::move(raw));
    return {};
  }

  Result<void> choose(const ruleset::Chain& chain, const ruleset::Rule& rule) {
    form_.matches.clear();
    for (const ruleset::Match& match : rule.matches) {
      if (const auto* const opaque = std::get_if<ruleset::OpaqueMatch>(&match)) {
        if (!opaque->text.empty()) return unreadable(chain, rule, opaque->name);
        form_.matches.emplace_back();
        continue;
      }
      const auto id = features_.choose(table_.family, forms_of(match, table_.family));
      if (!id) {
        const auto* const conntrack = std::get_if<ruleset::ConntrackMatch>(&match);
        const bool is_inverted_here = conntrack != nullptr && conntrack->direction &&
                                      is_offered_otherwise(ExtensionKind::kMatch, extension_name(match, table_.family));
        if (is_inverted_here) return tl::unexpected(direction_needs_newer(table_.family, place(chain, rule)));
        return missing(chain, rule, ExtensionKind::kMatch, extension_name(match, table_.family));
      }
      form_.matches.emplace_back(id);
    }
    form_.target.reset();
    if (is_standard(rule.target)) return {};
    if (const auto* const opaque = std::get_if<ruleset::OpaqueTarget>(&rule.target)) {
      if (!opaque->text.empty()) return unreadable(chain, rule, opaque->name);
      return {};
    }
    form_.target = features_.choose(table_.family, forms_of(rule.target, table_.family));
    if (!form_.target) return missing(chain, rule, ExtensionKind::kTarget, target_name(rule.target));
    return {};
  }

  [[nodiscard]] std::string place(const ruleset::Chain& chain, const ruleset::Rule& rule) const {
    return rule_words(rules_, table_, chain, rule);
  }

  Result<void> unreadable(const ruleset::Chain& chain, const ruleset::Rule& rule, std::string_view name) const {
    return fail(ErrorKind::kRefused,
                fmt::format("{} uses \"{}\", whose options this program cannot write", place(chain, rule), name));
  }

  Result<void> missing(const ruleset::Chain& chain, const ruleset::Rule& rule, ExtensionKind kind,
                       std::string_view name) const {
    return tl::unexpected(
        missing_extension(table_.family, kind, name, place(chain, rule), is_offered_otherwise(kind, name)));
  }

  /// Whether the extension is there, only not in a revision that says enough.
  [[nodiscard]] bool is_offered_otherwise(ExtensionKind kind, std::string_view name) const {
    for (size_t id = 0; id < kernel::kExtensionCount; ++id) {
      const kernel::Extension& extension = kernel::extensions()[id];
      if (extension.kind == kind && extension.name == name &&
          features_.offers(table_.family, static_cast<ExtensionId>(id))) {
        return true;
      }
    }
    return false;
  }

  const ruleset::RuleSet& rules_;
  const ruleset::Table& table_;
  const Features& features_;
  kernel::Abi abi_;
  kernel::RawTable raw_;
  RuleForm form_;
};

}  // namespace

Result<kernel::RawTable> encode(const ruleset::RuleSet& rules, const ruleset::Table& table, const Features& features,
                                kernel::Abi abi) {
  return Encoder(rules, table, features, abi).run();
}

}  // namespace tails::iptc
