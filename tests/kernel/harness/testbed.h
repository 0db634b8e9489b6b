#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/interface_name.h"
#include "net/result.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::testbed {

/// Both ends of every cable have this address and do no ARP: whatever a namespace sends out of an interface arrives at
/// the other end, for any destination and without waiting for a neighbour.
inline constexpr std::array<uint8_t, 6> kCableMac = {0x02, 0, 0, 0, 0, 0x07};

/// A machine in a box, and its surroundings:
///
///     guests[NAME]: veth0 ──── veth-NAME :host: eth0 ──── wire0 :outside
///                                             : eth1 ──── wire1 :
///
/// `host` is where rules go. eth0 is the way to the Internet (192.0.2.10/24 by 192.0.2.1; 2001:db8::10/64), eth1 has
/// the LANs (192.168.50.10/24; 10/8, 172.16/12 and 192.168/16 by 192.168.50.1; 2001:db8:0:1::10/64), each veth-NAME an
/// IPv6 network too. `outside` answers at the addresses below and forwards nothing. No rule is loaded anywhere,
/// forwarding is on in `host`, reverse-path filtering is off.
struct Testbed {
  struct Guest {
    std::string name;
    IpAddress host;  ///< Of a /30; the guest has the next address.
  };

  /// One cable of `host`.
  struct Cable {
    InterfaceName near;
    std::string guest;  ///< Whose; empty: `outside`.
    InterfaceName far;
  };

  /// `more_interfaces`: further cables to `outside`, with addresses in 198.18.0.0/15.
  static Result<Testbed> build(const std::vector<Guest>& guests,
                               const std::vector<InterfaceName>& more_interfaces = {});

  [[nodiscard]] const NetworkNamespace& far_side(const Cable& cable) const {
    return cable.guest.empty() ? outside : guests.at(cable.guest);
  }

  NetworkNamespace host;
  NetworkNamespace outside;
  std::map<std::string, NetworkNamespace> guests;
  std::vector<Cable> cables;
};

// Of `host`.
inline constexpr IpAddress kHostInternet = IpAddress::v4(192, 0, 2, 10);
inline constexpr IpAddress kHostLan = IpAddress::v4(192, 168, 50, 10);
inline constexpr IpAddress kHostV6 = IpAddress::v6(0x20010db800000000, 0x10);
inline constexpr IpAddress kHostLanV6 = IpAddress::v6(0x20010db800000001, 0x10);
// Of `outside`.
inline constexpr IpAddress kGateway = IpAddress::v4(192, 0, 2, 1);
inline constexpr IpAddress kInternet = IpAddress::v4(198, 51, 100, 7);
inline constexpr IpAddress kOtherInternet = IpAddress::v4(203, 0, 113, 5);
inline constexpr IpAddress kLanNeighbour = IpAddress::v4(192, 168, 50, 1);
inline constexpr IpAddress kLanResolver = IpAddress::v4(192, 168, 50, 53);
inline constexpr IpAddress kFarLan = IpAddress::v4(10, 20, 30, 40);
inline constexpr IpAddress kOtherFarLan = IpAddress::v4(172, 16, 5, 6);
inline constexpr IpAddress kInternetV6 = IpAddress::v6(0x20010db800010000, 7);

/// The five namespaces of the profile `tails`.
std::vector<Testbed::Guest> tails_guests();

}  // namespace tails::testbed
