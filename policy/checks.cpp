#include "policy/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "policy/grammar.h"

namespace tails::policy {
namespace {

bool covers(const PortRange& wide, const PortRange& narrow) {
  return wide.first <= narrow.first && narrow.last <= wide.last;
}
bool covers(const PortGrant& wide, const PortGrant& narrow) {
  return wide.protocol == narrow.protocol && covers(wide.ports, narrow.ports);
}
bool covers(std::span<const PortGrant> wide, const PortGrant& narrow) {
  return std::ranges::any_of(wide, [&](const PortGrant& grant) { return covers(grant, narrow); });
}

/// Everything that comes from a source port of `narrow` comes from one of `wide`. Empty: any port.
bool covers_sources(std::span<const PortRange> wide, std::span<const PortRange> narrow) {
  if (wide.empty()) return true;
  return !narrow.empty() && std::ranges::all_of(narrow, [&](const PortRange& range) {
    return std::ranges::any_of(wide, [&](const PortRange& other) { return covers(other, range); });
  });
}

bool names(const std::vector<User>& users, Uid uid) { return std::ranges::find(users, uid, &User::uid) != users.end(); }

/// A list in which one item already says what another says again.
void warn_of_repeated(std::span<const PortGrant> grants, std::span<const Place> places, Report& report) {
  for (size_t i = 0; i < grants.size(); ++i) {
    for (size_t j = 0; j < grants.size(); ++j) {
      // Of two equal ones, the second is the repeated one.
      if (i == j || !covers(grants[j], grants[i]) || (grants[i] == grants[j] && i < j)) continue;
      report.warning(places[i],
                     fmt::format("{} is already named by {} in this list", to_string(grants[i]), to_string(grants[j])),
                     "Remove it.");
      break;
    }
  }
}

void warn_of_repeated(const std::vector<User>& users, const std::vector<Place>& places, Report& report) {
  for (size_t i = 1; i < users.size(); ++i) {
    const std::span<const User> before(users.data(), i);
    if (std::ranges::find(before, users[i].name, &User::name) == before.end()) continue;
    report.warning(places[i], fmt::format("user \"{}\" is named twice in this list", users[i].name), "Remove one.");
  }
}

/// The entry that already grants `user` all of what `service` would.
const Service* granted_by_another(const Policy& policy, const Service& service, Uid user) {
  for (const Service& other : policy.services) {
    if (&other == &service || other.at != service.at || !other.is_active || !names(other.allow, user)) continue;
    if (!covers_sources(other.from, service.from)) continue;
    const auto is_covered_by = [](const Service& wide, const Service& narrow) {
      return std::ranges::all_of(narrow.ports, [&](const PortGrant& g) { return covers(wide.ports, g); });
    };
    if (!is_covered_by(other, service)) continue;
    // Of two that say the same, the second is the pointless one.
    const bool is_equal = is_covered_by(service, other) && covers_sources(service.from, other.from);
    if (is_equal && &service < &other) continue;
    return &other;
  }
  return nullptr;
}

/// The entry that denies `user` all of what `service` would grant.
const Service* denied_by_another(const Policy& policy, const Service& service, Uid user) {
  const auto denies_all = [&](const Service& other) {
    return other.at == service.at && names(other.deny, user) &&
           std::ranges::all_of(service.ports, [&](const PortGrant& g) { return covers(other.ports, g); });
  };
  const auto at = std::ranges::find_if(policy.services, denies_all);
  return at == policy.services.end() ? nullptr : &*at;
}

void check_service(const Draft& draft, size_t index, Report& report) {
  const Service& service = draft.policy.services[index];
  const Draft::ServicePlaces& places = draft.services[index];
  warn_of_repeated(service.ports, places.ports, report);
  warn_of_repeated(service.allow, places.allow, report);
  warn_of_repeated(service.deny, places.deny, report);
  const bool does_nothing = service.ports.empty() || (service.allow.empty() && service.deny.empty());
  if (does_nothing && !places.has_absent_user) {
    report.warning(places.name, fmt::format("no user may reach service \"{}\"", service.name),
                   service.ports.empty() ? "It names no ports." : "Name users under allow, or remove the entry.");
    return;
  }
  if (!service.is_active || service.ports.empty()) return;
  for (size_t u = 0; u < service.allow.size(); ++u) {
    const User& user = service.allow[u];
    if (const Service* other = denied_by_another(draft.policy, service, user.uid)) {
      report.warning(places.allow[u],
                     fmt::format("user \"{}\" is denied this by service \"{}\"", user.name, other->name),
                     fmt::format("A denial beats any grant: see {}.", to_string(other->origin)));
    } else if (const Service* wider = granted_by_another(draft.policy, service, user.uid)) {
      report.warning(places.allow[u],
                     fmt::format("user \"{}\" already reaches this through service \"{}\"", user.name, wider->name),
                     fmt::format("Remove it here or at {}.", to_string(wider->origin)));
    }
  }
}

void check_direct(const Draft& draft, size_t index, Report& report) {
  const Direct& direct = draft.policy.direct[index];
  warn_of_repeated(direct.out, draft.direct[index].out, report);
  for (size_t i = 0; i < draft.policy.direct.size(); ++i) {
    const Direct& other = draft.policy.direct[i];
    if (i == index || other.user.uid != direct.user.uid || !other.is_active || !direct.is_active) continue;
    const auto is_covered_by = [](const Direct& wide, const Direct& narrow) {
      return wide.lan_dns >= narrow.lan_dns && wide.lan <= narrow.lan &&
             std::ranges::all_of(narrow.out, [&](const PortGrant& g) { return covers(wide.out, g); });
    };
    if (!is_covered_by(other, direct) || (is_covered_by(direct, other) && index < i)) continue;
    report.warning(draft.direct[index].user,
                   fmt::format("another entry already grants user \"{}\" all of this", direct.user.name),
                   fmt::format("Remove it here or at {}.", to_string(other.origin)));
    return;
  }
}

}  // namespace

void check_for_warnings(const Draft& draft, Report& report) {
  for (size_t i = 0; i < draft.policy.services.size(); ++i) check_service(draft, i, report);
  for (size_t i = 0; i < draft.policy.direct.size(); ++i) check_direct(draft, i, report);
  warn_of_repeated(draft.policy.lan.closed, draft.lan_closed, report);
  const std::vector<Prefix>& networks = draft.policy.lan.networks;
  for (size_t i = 0; i < networks.size(); ++i) {
    for (size_t j = 0; j < networks.size(); ++j) {
      const bool is_inside = networks[j].overlaps(networks[i]) && networks[j].length() <= networks[i].length();
      if (i == j || !is_inside || (networks[i] == networks[j] && i < j)) continue;
      report.warning(draft.lan_networks[i],
                     fmt::format("{} already lies in {}", to_string(networks[i]), to_string(networks[j])),
                     "Remove it.");
      break;
    }
  }
}

}  // namespace tails::policy
