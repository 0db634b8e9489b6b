#include "leaktest/plan.h"

#include <set>
#include <string>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"

namespace tails::leaktest {
namespace {

/// Source ports that name a case; outside the kernel's own choice (ip_local_port_range).
constexpr Port kFirstCasePort = 33000;
constexpr Port kLastCasePort = 60999;

}  // namespace

Draft::Draft(const policy::Policy& policy) : policy_(policy), places_(places_of(policy)), next_port_(kFirstCasePort) {
  for (const Place& place : places_) {
    service_ports_.insert(place.tcp.begin(), place.tcp.end());
    service_ports_.insert(place.udp.begin(), place.udp.end());
  }
}

void Draft::add(Case attempt) {
  attempt.id = static_cast<uint32_t>(plan_.cases.size());
  if (attempt.source.port == 0) {
    // An answer must not look like a case: it comes from the port of a service.
    while (service_ports_.contains(next_port_)) ++next_port_;
    attempt.source.port = next_port_;
    // Past the last port the numbers begin again, in a later round: no two cases of one have the same.
    next_port_ = next_port_ >= kLastCasePort ? kFirstCasePort : static_cast<Port>(next_port_ + 1);
    if (next_port_ == kFirstCasePort) round_ = plan_.rounds++;
    attempt.round = round_;
  }
  plan_.cases.push_back(std::move(attempt));
}

Plan Draft::finish() && {
  std::set<Port> tcp;
  std::set<Endpoint> udp;
  for (const Case& attempt : plan_.cases) {
    for (const Endpoint& at : {attempt.target, attempt.arrives_at}) {
      // A guest asks for the host's services as 127.0.0.1.
      if (!is_own(policy_, at.address)) continue;
      if (attempt.protocol == protocol::kTcp && at.port != 0) tcp.insert(at.port);
      if (attempt.protocol == protocol::kUdp && at.port != 0) udp.insert(at);
    }
  }
  plan_.tcp_services.assign(tcp.begin(), tcp.end());
  plan_.udp_services.assign(udp.begin(), udp.end());
  return std::move(plan_);
}

Plan make_plan(const policy::Policy& policy, bool is_quick) {
  Draft draft(policy);
  std::vector<policy::User> users = accounts_of(policy);
  const auto cut = [&](size_t found, size_t most, const char* what) {
    if (found <= most) return;
    draft.leave_out("Of " + std::to_string(found) + " " + what + " the first " + std::to_string(most) + " were tried.");
  };
  cut(users.size(), kMostAccounts, "accounts");
  cut(policy.services.size(), kMostPlaces, "services");
  if (users.size() > kMostAccounts) users.resize(kMostAccounts);
  users.push_back({"an unknown account", kStranger});
  plan_accounts(draft, users);
  if (!is_quick) {
    plan_odd(draft, users);
    plan_devices(draft, users);
    plan_flows_of_others(draft, users);
  }
  plan_guests(draft);
  plan_cables(draft);
  if (!is_quick) plan_late_answer(draft, users);
  return std::move(draft).finish();
}

}  // namespace tails::leaktest
