#include "iptc/features.h"

#include "iptc/match_codec.h"
#include "iptc/target_codec.h"

namespace tails::iptc {
namespace {

Result<void> ask(kernel::Kernel& kernel, Family family, ExtensionId id, Features& features) {
  const kernel::Extension& extension = kernel::extension(id);
  const auto offered = kernel.offers(family, extension.kind, extension.name, extension.revision);
  if (!offered) return tl::unexpected(offered.error());
  features.set(family, id, *offered);
  return {};
}

/// Asks until one of `forms` is found.
Result<void> ask_first(kernel::Kernel& kernel, Family family, const Forms& forms, Features& features) {
  for (const ExtensionId id : forms) {
    if (!features.is_known(family, id)) {
      if (auto asked = ask(kernel, family, id, features); !asked) return asked;
    }
    if (features.offers(family, id)) break;
  }
  return {};
}

}  // namespace

Features Features::all() {
  Features features;
  for (size_t id = 0; id < kernel::kExtensionCount; ++id) {
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      features.set(family, static_cast<ExtensionId>(id), kernel::extensions()[id].is_for(family));
    }
  }
  return features;
}

std::optional<ExtensionId> Features::choose(Family family, const Forms& forms) const {
  for (const ExtensionId id : forms) {
    if (offers(family, id)) return id;
  }
  return std::nullopt;
}

Result<void> probe(kernel::Kernel& kernel, const ruleset::Table& table, Features& features) {
  for (const ruleset::Chain& chain : table.chains) {
    for (const ruleset::Rule& rule : chain.rules) {
      for (const ruleset::Match& match : rule.matches) {
        auto asked = ask_first(kernel, table.family, forms_of(match, table.family), features);
        if (!asked) return asked;
      }
      auto asked = ask_first(kernel, table.family, forms_of(rule.target, table.family), features);
      if (!asked) return asked;
    }
  }
  return {};
}

Result<void> probe(kernel::Kernel& kernel, const ruleset::Target& target, Family family, Features& features) {
  return ask_first(kernel, family, forms_of(target, family), features);
}

Result<void> probe(kernel::Kernel& kernel, const ruleset::RuleSet& rules, Features& features) {
  for (const ruleset::Table& table : rules.tables) {
    if (auto asked = probe(kernel, table, features); !asked) return asked;
  }
  return {};
}

Result<Features> probe_all(kernel::Kernel& kernel, Family family) {
  Features features;
  for (size_t id = 0; id < kernel::kExtensionCount; ++id) {
    if (!kernel::extensions()[id].is_for(family)) continue;
    if (auto asked = ask(kernel, family, static_cast<ExtensionId>(id), features); !asked) {
      return tl::unexpected(asked.error());
    }
  }
  return features;
}

}  // namespace tails::iptc
