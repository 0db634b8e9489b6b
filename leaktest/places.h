#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "policy/policy.h"

/// Who tries, and where to. Functions of the policy.
namespace tails::leaktest {

/// More of them than that would take longer than anybody waits; what is left out is said.
inline constexpr size_t kMostAccounts = 48;
inline constexpr size_t kMostPlaces = 64;

/// By how many techniques a place is tried, beside plain TCP and UDP.
enum class Odd : uint8_t {
  kNone,
  kSome,  ///< Those that an entry for it could let slip.
  kAll,   ///< All: it is the first of its kind.
};

/// A place to go, and the ports that make it interesting.
struct Place {
  std::string name;
  IpAddress address;
  std::vector<Port> tcp{};
  std::vector<Port> udp{};
  Odd odd = Odd::kNone;
  std::vector<PortRange> from{};  ///< Source ports that its service names.
};

/// The first is the Internet. Services beyond kMostPlaces are left out.
std::vector<Place> places_of(const policy::Policy& policy);

/// An address of a LAN that is no guest's and not the machine's.
IpAddress address_in(const policy::Policy& policy, const Prefix& lan);

/// Multicast, or a broadcast of a network whose mask ends with a byte.
bool is_for_many(const IpAddress& address);

/// Adds a port, once; nothing where it is none.
void add_port(std::vector<Port>& ports, unsigned port);

}  // namespace tails::leaktest
