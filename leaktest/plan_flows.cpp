#include <optional>
#include <utility>

#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

/// The first account that gets an answer there: its flow is what others can try to use.
std::optional<Uid> opener_of(const policy::Policy& policy, const std::vector<policy::User>& users, const Place& place,
                             Means means, uint8_t number, Port port) {
  for (const policy::User& user : users) {
    Case attempt = case_of(policy, user, place, means, number, port, "");
    expect(policy, attempt);
    if (attempt.expected == Expected::kReaches) return user.uid;
  }
  return std::nullopt;
}

}  // namespace

void plan_flows_of_others(Draft& draft, const std::vector<policy::User>& users) {
  const auto plan = [&](const Place& place, Means means, uint8_t number, Port port, Uid opener, const char* how) {
    for (const policy::User& user : users) {
      if (user.uid == opener) continue;
      Case attempt = case_of(draft.policy(), user, place, means, number, port, port_text(number, port) + how);
      attempt.opener = opener;
      expect(draft.policy(), attempt);
      draft.add(std::move(attempt));
    }
  };
  for (const Place& place : draft.places()) {
    if (place.odd == Odd::kNone) continue;
    for (const Port port : place.udp) {
      const auto opener = opener_of(draft.policy(), users, place, Means::kUdp, protocol::kUdp, port);
      if (opener) plan(place, Means::kUdpReuse, protocol::kUdp, port, *opener, " by another's open flow");
    }
    if (place.tcp.empty()) continue;
    const Port port = place.tcp.front();
    const auto opener = opener_of(draft.policy(), users, place, Means::kTcp, protocol::kTcp, port);
    if (opener) plan(place, Means::kSynIntoFlow, protocol::kTcp, port, *opener, ", raw SYN into another's connection");
  }
}

void plan_late_answer(Draft& draft, const std::vector<policy::User>& users) {
  const Place& internet = draft.places().front();
  const auto opener = opener_of(draft.policy(), users, internet, Means::kUdp, protocol::kUdp, 53);
  if (!opener) return;
  Case attempt = case_of(draft.policy(), {"the kernel itself", *opener}, internet, Means::kLateAnswer, protocol::kUdp,
                         53, "UDP 53 whose answer comes too late");
  expect(draft.policy(), attempt);
  draft.add(std::move(attempt));
}

}  // namespace tails::leaktest
