#include "policy/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <vector>

#include "policy/coverage.h"
#include "policy/grammar.h"

namespace tails::policy {
namespace {

/// A list in which one item already says what another says again. `place_of` tells where each stands.
template <class PlaceOf>
void warn_of_repeated(std::span<const PortGrant> grants, const PlaceOf& place_of, Report& report) {
  if (grants.size() < 2) return;
  std::map<uint8_t, Coverage> by_protocol;
  for (size_t i = 0; i < grants.size(); ++i) by_protocol[grants[i].protocol].add(grants[i].ports, i);
  for (auto& [number, coverage] : by_protocol) coverage.seal();
  for (size_t i = 0; i < grants.size(); ++i) {
    const auto other = by_protocol[grants[i].protocol].covering(grants[i].ports, i);
    // Of two equal ones, the second is the repeated one.
    if (!other || (other->range == grants[i].ports && i < other->owner)) continue;
    report.warning(
        place_of(i),
        fmt::format("{} is already named by {} in this list", to_string(grants[i]), to_string(grants[other->owner])),
        "Remove it.");
  }
}

template <class PlaceOf>
void warn_of_repeated(const std::vector<User>& users, const PlaceOf& place_of, Report& report) {
  if (users.size() < 2) return;
  std::set<std::string_view> seen;
  for (size_t i = 0; i < users.size(); ++i) {
    if (seen.insert(users[i].name).second) continue;
    report.warning(place_of(i), fmt::format("user \"{}\" is named twice in this list", users[i].name), "Remove one.");
  }
}

/// Which service names what, for each user, address, protocol and set of source ports.
class ServiceIndex {
 public:
  explicit ServiceIndex(const std::vector<Service>& services) : services_(services) {
    for (size_t i = 0; i < services.size(); ++i) {
      for (const PortGrant& grant : services[i].ports) {
        if (services[i].is_active) add(granted_, services[i].allow, services[i], services[i].from, grant, i);
        add(denied_, services[i].deny, services[i], {}, grant, i);  // a denial asks for no source port
      }
    }
    for (auto* index : {&granted_, &denied_}) {
      for (auto& [key, coverage] : *index) coverage.seal();
    }
    // What is granted from some source ports only may lie within another entry, which is not found so.
    may_repeat_ = std::ranges::any_of(granted_, [](const auto& entry) {
      return !std::get<std::vector<PortRange>>(entry.first).empty() || entry.second.has_covered();
    });
  }

  /// A service that denies `user` all of service `index`.
  [[nodiscard]] const Service* denier(size_t index, Uid user) const { return covering(denied_, {}, index, user); }

  /// A service that already grants `user` all of service `index`. Of two that say the same, the second is the
  /// pointless one.
  [[nodiscard]] const Service* granter(size_t index, Uid user) const {
    if (!may_repeat_) return nullptr;  // nearly every policy, and no question of a hundred thousand
    const Service& service = services_[index];
    const auto found_from = [&](const std::vector<PortRange>& from) -> const Service* {
      const Service* other = covering(granted_, from, index, user);
      if (other == nullptr) return nullptr;
      const bool is_equal = other->ports == service.ports && other->from == service.from;
      return !is_equal || other < &service ? other : nullptr;
    };
    const Service* found = found_from({});
    return found != nullptr || service.from.empty() ? found : found_from(service.from);
  }

 private:
  using Key = std::tuple<Uid, IpAddress, uint8_t, std::vector<PortRange>>;
  using Index = std::map<Key, Coverage>;

  static void add(Index& index, const std::vector<User>& users, const Service& service,
                  const std::vector<PortRange>& from, const PortGrant& grant, size_t owner) {
    for (const User& user : users) index[{user.uid, service.at, grant.protocol, from}].add(grant.ports, owner);
  }

  [[nodiscard]] const Service* covering(const Index& index, const std::vector<PortRange>& from, size_t of,
                                        Uid user) const {
    if (index.empty()) return nullptr;
    const Service& service = services_[of];
    const Service* first = nullptr;
    for (const PortGrant& grant : service.ports) {
      const auto at = index.find({user, service.at, grant.protocol, from});
      if (at == index.end()) return nullptr;
      const auto found = at->second.covering(grant.ports, of);
      if (!found) return nullptr;
      if (first == nullptr) first = &services_[found->owner];
    }
    return first;
  }

  const std::vector<Service>& services_;
  Index granted_;
  Index denied_;
  bool may_repeat_ = false;
};

void check_service(const Draft& draft, size_t index, const ServiceIndex& services, Report& report) {
  const Service& service = draft.policy.services[index];
  const ServicePlaces& places = draft.services;
  const auto port = [&](size_t i) { return places.port(index, i); };
  const auto allowed = [&](size_t i) { return places.allow(index, i); };
  const auto denied = [&](size_t i) { return places.deny(index, i); };
  warn_of_repeated(service.ports, port, report);
  warn_of_repeated(service.allow, allowed, report);
  warn_of_repeated(service.deny, denied, report);
  const bool does_nothing = service.ports.empty() || (service.allow.empty() && service.deny.empty());
  if (does_nothing && !places.has_absent_user(index)) {
    report.warning(places.name(index), fmt::format("no user may reach service \"{}\"", service.name),
                   service.ports.empty() ? "It names no ports." : "Name users under allow, or remove the entry.");
    return;
  }
  if (!service.is_active || service.ports.empty()) return;
  for (size_t u = 0; u < service.allow.size(); ++u) {
    const User& user = service.allow[u];
    if (const Service* other = services.denier(index, user.uid)) {
      report.warning(places.allow(index, u),
                     fmt::format(R"(user "{}" is denied this by service "{}")", user.name, other->name),
                     fmt::format("A denial beats any grant: see {}.", to_string(other->origin)));
    } else if (const Service* wider = services.granter(index, user.uid)) {
      report.warning(places.allow(index, u),
                     fmt::format(R"(user "{}" already reaches this through service "{}")", user.name, wider->name),
                     fmt::format("Remove it here or at {}.", to_string(wider->origin)));
    }
  }
}

/// Whether `wide` grants all that `narrow` grants, and `narrow` denies nothing that `wide` does not.
bool covers(const Direct& wide, const Direct& narrow) {
  std::map<uint8_t, Coverage> granted;
  for (const PortGrant& grant : wide.out) granted[grant.protocol].add(grant.ports, 0);
  for (auto& [number, coverage] : granted) coverage.seal();
  constexpr size_t kOther = 1;
  return wide.lan_dns >= narrow.lan_dns && wide.lan <= narrow.lan &&
         std::ranges::all_of(narrow.out, [&](const PortGrant& grant) {
           return granted[grant.protocol].covering(grant.ports, kOther).has_value();
         });
}

void check_direct(const Draft& draft, size_t index, Report& report) {
  const Direct& direct = draft.policy.direct[index];
  warn_of_repeated(
      direct.out, [&](size_t i) { return draft.direct[index].out[i]; }, report);
  for (size_t i = 0; i < draft.policy.direct.size(); ++i) {
    const Direct& other = draft.policy.direct[i];
    if (i == index || other.user.uid != direct.user.uid || !other.is_active || !direct.is_active) continue;
    if (!covers(other, direct) || (covers(direct, other) && index < i)) continue;
    report.warning(draft.direct[index].user,
                   fmt::format("another entry already grants user \"{}\" all of this", direct.user.name),
                   fmt::format("Remove it here or at {}.", to_string(other.origin)));
    return;
  }
}

void check_lan(const Draft& draft, Report& report) {
  warn_of_repeated(
      draft.policy.lan.closed, [&](size_t i) { return draft.lan_closed[i]; }, report);
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

}  // namespace

void check_for_warnings(const Draft& draft, Report& report) {
  const ServiceIndex services(draft.policy.services);
  for (size_t i = 0; i < draft.policy.services.size(); ++i) check_service(draft, i, services, report);
  for (size_t i = 0; i < draft.policy.direct.size(); ++i) check_direct(draft, i, report);
  check_lan(draft, report);
}

}  // namespace tails::policy
