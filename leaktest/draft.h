#pragma once

#include <set>
#include <string>
#include <vector>

#include "leaktest/places.h"
#include "leaktest/plan.h"

/// A plan in the making. What is tried is several ideas, each in a file of its own; here is what they share.
namespace tails::leaktest {

class Draft {
 public:
  /// `policy` must outlive it.
  explicit Draft(const policy::Policy& policy);

  [[nodiscard]] const policy::Policy& policy() const { return policy_; }
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }

  /// Gives it the source port that names it, unless it has one: then its round is the caller's.
  void add(Case attempt);
  /// A round of its own, for those whose source ports are given.
  unsigned new_round() { return plan_.rounds++; }
  void leave_out(std::string notice) { plan_.notices.push_back(std::move(notice)); }

  /// Whatever some case asks for gets somebody who answers.
  Plan finish() &&;

 private:
  const policy::Policy& policy_;
  std::vector<Place> places_;
  std::set<Port> service_ports_;
  Plan plan_;
  Port next_port_;
  unsigned round_ = 0;
};

/// What an account of the machine tries at a port of a place. What is expected of it is not yet said.
Case case_of(const policy::Policy& policy, const policy::User& user, const Place& place, Means means, uint8_t number,
             Port port, std::string how);
/// "TCP 443".
std::string port_text(uint8_t number, Port port);

/// Sockets of the machine's accounts: each to every place by plain TCP and UDP.
void plan_accounts(Draft& draft, const std::vector<policy::User>& users);
/// Raw packets, odd flags, fragments, foreign addresses, other protocols: each account to one place of each kind.
void plan_odd(Draft& draft, const std::vector<policy::User>& users);
/// SO_BINDTODEVICE: each account by each cable to one place of each kind.
void plan_devices(Draft& draft, const std::vector<policy::User>& users);
/// Ports and connections that another account's flow has.
void plan_flows_of_others(Draft& draft, const std::vector<policy::User>& users);
/// Programs in guests, whose own rules hold.
void plan_guests(Draft& draft);
/// Packets put on cables: what comes from a guest whose own rules are gone, from the Internet and from the LAN.
void plan_cables(Draft& draft);
/// An answer that comes too late for a socket makes the kernel itself send an ICMP error, which nobody asked for.
void plan_late_answer(Draft& draft, const std::vector<policy::User>& users);

}  // namespace tails::leaktest
