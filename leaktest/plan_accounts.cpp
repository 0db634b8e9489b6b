#include <set>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

/// The first of each range, the port before it, and the last of each: one account at a time, because many share them.
void plan_source_ports(Draft& draft, const policy::User& user, const Place& place) {
  if (place.from.empty() || place.tcp.empty()) return;
  const unsigned round = draft.new_round();
  std::set<Port> sources;
  for (const PortRange& range : place.from) {
    sources.insert({range.first, range.last, static_cast<Port>(range.first - 1)});
  }
  for (const Port source : sources) {
    const Port port = place.tcp.front();
    Case attempt = case_of(draft.policy(), user, place, Means::kTcp, protocol::kTcp, port,
                           port_text(protocol::kTcp, port) + " from port " + std::to_string(source));
    attempt.source.port = source;
    attempt.round = round;
    expect(draft.policy(), attempt);
    draft.add(std::move(attempt));
  }
}

}  // namespace

Case case_of(const policy::Policy& policy, const policy::User& user, const Place& place, Means means, uint8_t number,
             Port port, std::string how) {
  Case attempt;
  attempt.user = user.name;
  attempt.uid = user.uid;
  attempt.to = place.name;
  attempt.how = std::move(how);
  attempt.means = means;
  attempt.protocol = number;
  attempt.target = {place.address, port};
  attempt.source.address = source_of(policy, place.address);
  return attempt;
}

std::string port_text(uint8_t number, Port port) {
  return (number == protocol::kTcp ? "TCP " : "UDP ") + std::to_string(port);
}

void plan_accounts(Draft& draft, const std::vector<policy::User>& users) {
  const auto plan = [&](const policy::User& user, const Place& place, Means means, uint8_t number, Port port) {
    Case attempt = case_of(draft.policy(), user, place, means, number, port, port_text(number, port));
    expect(draft.policy(), attempt);
    draft.add(std::move(attempt));
  };
  for (const policy::User& user : users) {
    for (const Place& place : draft.places()) {
      for (const Port port : place.tcp) plan(user, place, Means::kTcp, protocol::kTcp, port);
      for (const Port port : place.udp) plan(user, place, Means::kUdp, protocol::kUdp, port);
      plan_source_ports(draft, user, place);
    }
  }
}

}  // namespace tails::leaktest
