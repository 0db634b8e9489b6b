#include "cli/kernel_offer.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "iptc/encode.h"
#include "iptc/fallback.h"
#include "iptc/kernel/extensions.h"

namespace tails::cli {
namespace {

using iptc::kernel::ExtensionKind;

std::string release() {
  utsname names{};
  return uname(&names) == 0 ? names.release : "";
}

/// Every extension that we can write, with the revisions that are there.
void list_extensions(const iptc::Features& features, Family family, std::vector<KernelOffer::Extension>& out) {
  for (size_t i = 0; i < iptc::kernel::kExtensionCount; ++i) {
    const auto& extension = iptc::kernel::extensions()[i];
    if (!extension.is_for(family)) continue;
    const bool is_match = extension.kind == ExtensionKind::kMatch;
    auto at = std::ranges::find_if(out, [&](const KernelOffer::Extension& known) {
      return known.family == family && known.is_match == is_match && known.name == extension.name;
    });
    if (at == out.end()) at = out.insert(out.end(), {family, is_match, std::string(extension.name), {}});
    if (features.offers(family, static_cast<iptc::ExtensionId>(i))) at->revisions.push_back(extension.revision);
  }
}

}  // namespace

Result<KernelOffer> fit_to_kernel(iptc::kernel::Kernel& kernel, ruleset::RuleSet& wanted, bool ask_all) {
  KernelOffer offer;
  offer.release = release();
  const auto has_ipv6 = kernel.has_ipv6();
  if (!has_ipv6) return tl::unexpected(has_ipv6.error());
  offer.has_ipv6 = *has_ipv6;
  iptc::Features features;
  const auto refuse = [&](const Error& error) {
    if (!offer.refusal) offer.refusal = error.message;
  };
  for (ruleset::Table& table : wanted.tables) {
    auto replaced = iptc::fit(kernel, table, features);
    if (!replaced) {
      if (replaced.error().system_errno != ENOPROTOOPT) return tl::unexpected(replaced.error());
      refuse(replaced.error());
      continue;
    }
    std::ranges::move(*replaced, std::back_inserter(offer.instead));
    if (const auto encoded = iptc::encode(wanted, table, features); !encoded) refuse(encoded.error());
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (family == Family::kIpv6 && !*has_ipv6) continue;
    const auto tables = kernel.tables(family);
    if (!tables) return tl::unexpected(tables.error());
    for (const std::string& name : *tables) {
      offer.tables.push_back(fmt::format("{} {}", family == Family::kIpv4 ? "ip" : "ip6", name));
    }
    if (!ask_all) continue;
    const auto all = iptc::probe_all(kernel, family);
    if (all) {
      list_extensions(*all, family, offer.extensions);
    } else if (all.error().system_errno != ENOPROTOOPT) {
      return tl::unexpected(all.error());
    }
  }
  return offer;
}

}  // namespace tails::cli
