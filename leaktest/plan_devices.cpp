#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

bool is_loopback(const IpAddress& address) { return address == kLoopbackV6 || kLoopbackNetV4.contains(address); }

/// What the policy says is of the packet; whether its socket hears an answer or a refusal depends on the way back.
void expect_by_device(const policy::Policy& policy, Case& attempt) {
  expect(policy, attempt);
  const IpAddress& to = attempt.target.address;
  const bool is_for_loopback = is_loopback(to);
  if (attempt.device.is_loopback()) {
    // Nothing comes back by lo from elsewhere.
    if (is_for_loopback) return;
    if (attempt.expected == Expected::kRefused) attempt.expected = Expected::kStopped;
    if (attempt.expected == Expected::kReaches) attempt.expected = Expected::kPasses;
    return;
  }
  // What is for the machine itself goes by lo, where a socket that is bound to a cable hears nothing; and of IPv6 a
  // refusal passes between ::1 and ::1 alone.
  const bool is_by_lo = is_own(policy, to) && !is_for_loopback;
  if ((is_by_lo || to.family == Family::kIpv6) && attempt.expected == Expected::kRefused) {
    attempt.expected = Expected::kStopped;
  }
  // Nobody answers for the machine's own addresses on a cable, nor for anybody on a guest's.
  const bool has_answerer = attempt.device == kEth0 || attempt.device == kEth1;
  if ((!has_answerer || is_own(policy, to)) && attempt.expected == Expected::kReaches) {
    attempt.expected = Expected::kPasses;
  }
}

}  // namespace

void plan_devices(Draft& draft, const std::vector<policy::User>& users) {
  const policy::Policy& policy = draft.policy();
  std::vector<InterfaceName> devices{kEth0, kEth1, kLoopbackInterface};
  // One cable of a guest is like the others.
  if (!policy.namespaces.empty()) devices.push_back(policy.namespaces.front().interface);
  for (const policy::User& user : users) {
    for (const Place& place : draft.places()) {
      if (place.odd != Odd::kAll) continue;
      for (const InterfaceName& device : devices) {
        const auto put = [&](Means means, uint8_t number, Port port) {
          Case attempt = case_of(policy, user, place, means, number, port,
                                 port_text(number, port) + " bound to " + std::string(device.view()));
          attempt.device = device;
          attempt.source.address = source_of(policy, place.address, device);
          if (is_own(policy, place.address) && !route_of(policy, place.address, device).is_loopback()) {
            attempt.to = is_loopback(place.address) ? "loopback addresses on a cable" : "its own addresses on a cable";
          }
          expect_by_device(policy, attempt);
          draft.add(std::move(attempt));
        };
        if (!is_for_many(place.address)) {
          put(Means::kTcp, protocol::kTcp, place.tcp.empty() ? Port{443} : place.tcp.front());
        }
        put(Means::kUdpSend, protocol::kUdp, place.udp.empty() ? Port{53} : place.udp.front());
      }
    }
  }
}

}  // namespace tails::leaktest
