#include "policy/consistency.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace tails::policy {
namespace {

std::string first_is_at(const Origin& origin) { return fmt::format("The first is {}.", to_string(origin)); }

void check_automap(const Draft& draft, const Place& place, Report& report) {
  if (!draft.names_trans_port) {
    report.error(place, "automap needs trans_port", "Name Tor's TransPort under [tor]: trans_port = 9040.");
  }
  if (!draft.names_live) {
    report.error(place, "automap needs [live]", "Only the live user gets there: name it under [live].");
  }
  const std::optional<Prefix>& automap = draft.policy.tor->automap;
  if (!automap) return;
  constexpr std::string_view kUsual = "Use Tor's VirtualAddrNetworkIPv4, by default \"127.192.0.0/10\".";
  if (!kLoopbackNetV4.contains(automap->address()) || automap->length() < kLoopbackNetV4.length()) {
    report.error(place, fmt::format("automap {} is not inside 127.0.0.0/8", to_string(*automap)), std::string(kUsual));
  } else if (automap->contains(kLoopbackV4)) {
    report.error(place, fmt::format("automap {} holds 127.0.0.1, to which it redirects", to_string(*automap)),
                 std::string(kUsual));
  }
}

void check_tor(const Draft& draft, Report& report) {
  if (!draft.policy.tor) return;
  const Tor& tor = *draft.policy.tor;
  if (draft.automap) check_automap(draft, *draft.automap, report);
  if (tor.redirect_dns && !draft.names_dns_port) {
    report.error(*draft.redirect_dns, "redirect_dns needs dns_port",
                 "Name Tor's DNSPort under [tor]: dns_port = 5353.");
  }
  if (tor.redirect_dns && tor.dns_port == Port{53}) {
    report.error(*draft.redirect_dns, "redirect_dns redirects port 53 to itself", "Leave redirect_dns out.");
  }
}

/// Which service had a name first. A table of numbers and no map of strings: a hundred thousand nodes take ten times as
/// long.
class FirstOfName {
 public:
  explicit FirstOfName(const std::vector<Service>& services)
      : services_(services), slots_(std::bit_ceil(2 * services.size() + 1), kFree) {}

  /// `index` itself where its name is new.
  size_t of(size_t index) {
    const std::string_view name = services_[index].name;
    size_t at = std::hash<std::string_view>()(name) & (slots_.size() - 1);
    while (slots_[at] != kFree && services_[slots_[at]].name != name) at = (at + 1) & (slots_.size() - 1);
    if (slots_[at] == kFree) slots_[at] = index;
    return slots_[at];
  }

 private:
  static constexpr size_t kFree = static_cast<size_t>(-1);
  const std::vector<Service>& services_;
  std::vector<size_t> slots_;
};

void check_service_names(const Draft& draft, Report& report) {
  const std::vector<Service>& services = draft.policy.services;
  FirstOfName first_of_name(services);
  for (size_t i = 0; i < services.size(); ++i) {
    if (services[i].name.empty()) continue;  // which was reported
    const size_t first = first_of_name.of(i);
    if (first == i) continue;
    report.error(draft.services.name(i), fmt::format("two services are named \"{}\"", services[i].name),
                 first_is_at(services[first].origin));
  }
}

void check_service(const Draft& draft, size_t index, Report& report) {
  const Policy& policy = draft.policy;
  const Service& service = policy.services[index];
  if (policy.tor && policy.tor->automap && policy.tor->automap->contains(service.at)) {
    report.error(draft.services.at(index),
                 fmt::format("{} is an automap address ({})", to_string(service.at), to_string(*policy.tor->automap)),
                 "TCP to it goes to Tor; use another address of 127.0.0.0/8.");
  }
  if (service.deny.empty()) return;
  std::map<Uid, const User*> allowed_users;
  for (const User& user : service.allow) allowed_users.emplace(user.uid, &user);
  for (size_t d = 0; d < service.deny.size(); ++d) {
    const auto at = allowed_users.find(service.deny[d].uid);
    if (at == allowed_users.end()) continue;
    const User* allowed = at->second;
    const std::string also = allowed->name == service.deny[d].name
                                 ? std::string{}
                                 : fmt::format(" (UID {}, also named \"{}\")", allowed->uid.value, allowed->name);
    report.error(
        draft.services.deny(index, d),
        fmt::format(R"(service "{}" both allows and denies user "{}"{})", service.name, service.deny[d].name, also),
        "Remove it from one of the two lists.");
  }
}

void check_namespace_names(const Draft& draft, Report& report) {
  const std::vector<Namespace>& spaces = draft.policy.namespaces;
  std::map<std::string_view, const Namespace*> first_of;
  for (size_t i = 0; i < spaces.size(); ++i) {
    const auto [first, is_new] = first_of.emplace(spaces[i].name, &spaces[i]);
    if (is_new) continue;
    report.error(draft.namespaces[i].name, fmt::format("two namespaces are named \"{}\"", spaces[i].name),
                 first_is_at(first->second->origin));
  }
}

/// Networks are apart or one within the other. So, in the order of addresses and the wider first, a network that
/// overlaps any before it lies in the last one that lies in none.
void check_namespace_networks(const Draft& draft, Report& report) {
  const std::vector<Namespace>& spaces = draft.policy.namespaces;
  std::vector<size_t> order(spaces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(
      order, {}, [&](size_t i) { return std::pair(spaces[i].network.address(), spaces[i].network.length()); });
  size_t outer = 0;
  for (size_t position = 1; position < order.size(); ++position) {
    if (!spaces[order[outer]].network.overlaps(spaces[order[position]].network)) {
      outer = position;
      continue;
    }
    const auto [first, second] = std::minmax(order[outer], order[position]);  // in the file's order
    report.error(draft.namespaces[second].host,
                 fmt::format(R"(namespace "{}" ({}) overlaps namespace "{}" ({}))", spaces[second].name,
                             to_string(spaces[second].network), spaces[first].name, to_string(spaces[first].network)),
                 first_is_at(spaces[first].origin));
  }
}

/// A namespace that is up already is no stranger: its own veth has its own network.
bool is_own(const Policy& policy, const Environment::InterfaceNetwork& network) {
  return std::ranges::any_of(policy.namespaces, [&](const Namespace& space) {
    return space.interface == network.interface && space.network == network.network;
  });
}

void check_machine(const Draft& draft, const Environment& environment, Report& report) {
  if (draft.policy.namespaces.empty()) return;
  const auto networks = environment.networks();
  if (!networks) {
    report.error(draft.namespaces.front().host, networks.error().message, networks.error().remedy);
    return;
  }
  for (size_t i = 0; i < draft.policy.namespaces.size(); ++i) {
    const Namespace& space = draft.policy.namespaces[i];
    for (const auto& network : *networks) {
      if (!network.network.overlaps(space.network) || is_own(draft.policy, network)) continue;
      report.error(draft.namespaces[i].host,
                   fmt::format("namespace \"{}\" ({}) overlaps {}, the network of {}", space.name,
                               to_string(space.network), to_string(network.network), network.interface.view()),
                   "Choose a network that this machine does not use.");
    }
  }
}

}  // namespace

void check_consistency(const Draft& draft, const Environment& environment, Report& report) {
  check_tor(draft, report);
  check_service_names(draft, report);
  for (size_t i = 0; i < draft.policy.services.size(); ++i) check_service(draft, i, report);
  check_namespace_names(draft, report);
  check_namespace_networks(draft, report);
  for (size_t i = 0; i < draft.policy.lan.networks.size(); ++i) {
    if (!draft.policy.lan.networks[i].overlaps(kLoopbackNetV4)) continue;
    report.error(draft.lan_networks[i],
                 fmt::format("{} holds loopback addresses, which are no LAN", to_string(draft.policy.lan.networks[i])),
                 "Name private networks (RFC 1918).");
  }
  check_machine(draft, environment, report);
}

}  // namespace tails::policy
