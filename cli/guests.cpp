#include "cli/guests.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/in_charge.h"
#include "cli/kernel_offer.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/status_report.h"
#include "cli/transaction_report.h"
#include "host/forwarding.h"
#include "host/network_namespace.h"
#include "iptc/kernel/namespace_id.h"
#include "iptc/record.h"
#include "net/nearest.h"
#include "policy/lower.h"

namespace tails::cli {
namespace {

using host::GuestState;

constexpr const char* kRunDirectory = "/run/tails-iptc";

/// Called inside the guest: its rules, by the same transaction as everybody's.
Result<void> install_rules(const policy::Namespace& space, const GuestPolicy& guests) {
  const LiveSystem system;
  const iptc::Options options =
      transaction_options(guests.global, recorded_name(guests.policy.name, guests.policy.source));
  const Result<iptc::Outcome> outcome = iptc::commit(system.get(), policy::lower_guest(space), options);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->failure) return tl::unexpected(*outcome->failure);
  return {};
}

/// The record need not remember the tables of a namespace that goes.
void forget_rules(const host::Guest& guest) {
  const auto space = host::network_namespace::open(guest.name);
  if (!space || !*space) return;
  (void)host::network_namespace::inside((*space)->get(), []() -> Result<void> {
    const LiveSystem system;
    const uint64_t here = system.get().kernel.namespace_id();
    Result<iptc::Record> record = iptc::Record::read(system.get().files, kRunDirectory);
    if (!record) return {};
    const size_t before = record->tables().size();
    record->prune(here, [](const iptc::RecordedTable&) { return false; });
    // A record that remembers too much says nothing wrong, and grows no further than its limit.
    if (record->tables().size() != before) (void)record->write(system.get().files, kRunDirectory);
    return {};
  });
}

/// With the last guest that has Internet access, forwarding goes.
Result<void> stop_forwarding_if_unused(const GuestPolicy& guests) {
  for (const host::Guest& guest : guests_of(guests.policy)) {
    if (!guest.internet) continue;
    const auto state = host::state_of(guest);
    if (!state) return tl::unexpected(state.error());
    if (*state != GuestState::kAbsent) return {};
  }
  return host::forwarding::disable(guests.forwarding_note);
}

/// After `reset --open` the live rules are ours as well, but no filter.
bool is_closed(const iptc::Live& live) {
  const ruleset::Table* filter = live.rules.find(Family::kIpv4, ruleset::TableName::kFilter);
  return filter != nullptr && std::ranges::all_of(filter->chains, [](const ruleset::Chain& chain) {
           return !chain.is_builtin() || chain.policy == ruleset::ChainPolicy::kDrop;
         });
}

}  // namespace

Result<GuestPolicy> load_guest_policy(const LiveSystem& system, const GlobalOptions& global,
                                      const policy::Environment& environment) {
  const Result<InCharge> charge = find_in_charge(system.get(), global);
  if (!charge) return tl::unexpected(charge.error());
  Result<Operand> wanted = load_policy_in_charge(charge->global, environment);
  if (!wanted) return tl::unexpected(wanted.error());
  const Result<iptc::Live> live = iptc::read_live(system.get());
  if (!live) return tl::unexpected(live.error());
  const auto here = iptc::kernel::known_namespace_id(system.get().kernel);
  if (!here) return tl::unexpected(here.error());
  return GuestPolicy{std::move(*wanted->policy), charge->global, charge->is_in_force && is_closed(*live),
                     fmt::format("{}/forwarding-{}", kRunDirectory, *here)};
}

host::Guest guest_of(const policy::Namespace& space) {
  return {space.name,    space.interface, space.host, space.guest, space.network.length(), !space.services.empty(),
          space.internet};
}

std::vector<host::Guest> guests_of(const policy::Policy& policy) {
  std::vector<host::Guest> guests;
  for (const policy::Namespace& space : policy.namespaces) guests.push_back(guest_of(space));
  return guests;
}

Result<std::vector<const policy::Namespace*>> choose_namespaces(const policy::Policy& policy,
                                                                const std::vector<std::string>& names) {
  std::vector<std::string_view> known;
  for (const policy::Namespace& space : policy.namespaces) known.push_back(space.name);
  for (const std::string& name : names) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const auto meant = nearest(name, known);
    return fail(ErrorKind::kUsage, fmt::format("policy \"{}\" declares no namespace \"{}\"", policy.name, name),
                meant           ? fmt::format("Did you mean \"{}\"?", *meant)
                : known.empty() ? "It declares none."
                                : fmt::format("It declares {}.", fmt::join(known, ", ")));
  }
  std::vector<const policy::Namespace*> chosen;
  for (const policy::Namespace& space : policy.namespaces) {
    if (names.empty() || std::ranges::find(names, space.name) != names.end()) chosen.push_back(&space);
  }
  return chosen;
}

Result<GuestReport> examine(const policy::Namespace& space) {
  const auto state = host::state_of(guest_of(space));
  if (!state) return tl::unexpected(state.error());
  GuestReport report{&space, *state, std::nullopt};
  const auto opened = host::network_namespace::open(space.name);
  if (!opened) return tl::unexpected(opened.error());
  if (!*opened) return report;
  const auto looked = host::network_namespace::inside((*opened)->get(), [&]() -> Result<void> {
    const LiveSystem system;
    const Result<iptc::Live> live = iptc::read_live(system.get());
    if (!live) return tl::unexpected(live.error());
    const Result<bool> has_ipv6 = system.has_ipv6();
    if (!has_ipv6) return tl::unexpected(has_ipv6.error());
    ruleset::RuleSet wanted = policy::lower_guest(space);
    if (!*has_ipv6) {
      std::erase_if(wanted.tables, [](const ruleset::Table& table) { return table.family == Family::kIpv6; });
    }
    // What is live was fitted to this kernel.
    if (auto fitted = fit_to_kernel(system.get().kernel, wanted, false); !fitted) return tl::unexpected(fitted.error());
    report.rules_as_wanted =
        status_of(space.name, wanted, *live, policy::lockdown()).state == StatusReport::State::kInForce;
    return {};
  });
  if (!looked) return tl::unexpected(looked.error());
  return report;
}

Result<void> bring_up(const std::vector<const policy::Namespace*>& spaces, const GuestPolicy& guests) {
  std::vector<host::Guest> made;
  const auto go_back = [&](Error error) -> Result<void> {
    for (; !made.empty(); made.pop_back()) {
      forget_rules(made.back());
      (void)host::take_down(made.back());
    }
    (void)stop_forwarding_if_unused(guests);
    return tl::unexpected(std::move(error));
  };
  for (const policy::Namespace* space : spaces) {
    const host::Guest guest = guest_of(*space);
    const auto before = host::state_of(guest);
    if (!before) return go_back(before.error());
    log::debug(fmt::format("bringing up \"{}\", which is {}", space->name, in_words(*before)));
    const auto up = host::bring_up(guest, [&] { return install_rules(*space, guests); });
    if (!up) {
      Error error = up.error();
      error.message = fmt::format("namespace \"{}\": {}", space->name, error.message);
      return go_back(std::move(error));
    }
    if (*before == GuestState::kAbsent) made.push_back(guest);
  }
  // Last, when every interface has its rules and its settings.
  std::vector<host::Guest> all = guests_of(guests.policy);
  for (host::Guest& guest : all) {
    const auto state = host::state_of(guest);
    if (!state) return go_back(state.error());
    // One that is not up needs no forwarding.
    guest.internet = guest.internet && *state == GuestState::kUp;
  }
  if (auto forwards = host::forwarding::enable(all, guests.forwarding_note); !forwards)
    return go_back(forwards.error());
  return {};
}

Result<void> take_down(const std::vector<host::Guest>& doomed, const GuestPolicy& guests) {
  for (const host::Guest& guest : doomed) {
    forget_rules(guest);
    if (auto down = host::take_down(guest); !down) return down;
  }
  return stop_forwarding_if_unused(guests);
}

std::string_view in_words(GuestState state) {
  switch (state) {
    case GuestState::kUp: return "up";
    case GuestState::kPartial: return "half-made";
    case GuestState::kAbsent: return "not there";
  }
  return "";
}

std::string guests_line(std::string_view done, const std::vector<std::string_view>& names, const policy::Policy& policy,
                        Milliseconds time, const Screen& screen) {
  if (names.empty()) return fmt::format("Policy \"{}\" declares no namespace; nothing was changed.\n", policy.name);
  return fmt::format("{} {}.  {}\n", done, fmt::join(names, ", "),
                     screen.paint(Ink::kFaint, fmt::format("{:.1f} ms", time.count())));
}

}  // namespace tails::cli
