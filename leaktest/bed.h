#pragma once

#include <functional>
#include <map>
#include <string>

#include "host/network_namespace.h"
#include "net/address.h"
#include "net/interface_name.h"
#include "net/result.h"
#include "policy/policy.h"

/// The throw-away machine of a leak test and what surrounds it:
///
///     guests[NAME]: veth0 ──── veth-NAME :host: eth0 ──── wire0 :outside   (the Internet)
///                                             : eth1 ──── wire1 :          (the LAN)
///
/// Namespaces have no name: they go with this object, and with the process when it is killed. No cable does ARP, so
/// whatever goes in at one end comes out at the other. Nobody lives `outside`: its kernel has no address and forwards
/// nothing; who answers there is `Wire`. Forwarding is on in `host` and reverse-path filters are off: what holds then
/// is held by the rules alone. No rule is loaded.
namespace tails::leaktest {

struct Bed {
  struct Guest {
    Descriptor space;
    IpAddress address;
    IpAddress gateway;
    InterfaceName host_interface;
  };
  Descriptor host;
  Descriptor outside;
  std::map<std::string, Guest> guests;

  /// Fails (kRefused) without CAP_SYS_ADMIN, or where the kernel lacks namespaces or veth.
  static Result<Bed> build(const policy::Policy& policy);
};

/// Runs `work` with the calling thread inside the namespace.
inline Result<void> inside(const Descriptor& space, const std::function<Result<void>()>& work) {
  return host::network_namespace::inside(space.get(), work);
}

inline constexpr InterfaceName kEth0 = *InterfaceName::make("eth0");
inline constexpr InterfaceName kEth1 = *InterfaceName::make("eth1");
inline constexpr InterfaceName kWire0 = *InterfaceName::make("wire0");
inline constexpr InterfaceName kWire1 = *InterfaceName::make("wire1");

inline constexpr IpAddress kHostInternet = IpAddress::v4(192, 0, 2, 10);
inline constexpr IpAddress kGateway = IpAddress::v4(192, 0, 2, 1);
inline constexpr IpAddress kHostLan = IpAddress::v4(192, 168, 50, 10);
inline constexpr IpAddress kLanGateway = IpAddress::v4(192, 168, 50, 1);
inline constexpr IpAddress kHostV6 = IpAddress::v6(0x20010db800000000, 0x10);
inline constexpr IpAddress kHostLanV6 = IpAddress::v6(0x20010db800030000, 0x10);
inline constexpr IpAddress kInternet = IpAddress::v4(198, 51, 100, 7);
inline constexpr IpAddress kInternetV6 = IpAddress::v6(0x20010db800010000, 7);
/// Addresses that are nobody's.
inline constexpr IpAddress kForeign = IpAddress::v4(203, 0, 113, 99);
inline constexpr IpAddress kForeignV6 = IpAddress::v6(0x20010db800020000, 0x99);

/// The interface by which `host` sends to that address.
InterfaceName route_of(const policy::Policy& policy, const IpAddress& destination);
/// The same of a socket that is bound to `device`, if it is.
InterfaceName route_of(const policy::Policy& policy, const IpAddress& destination, const InterfaceName& device);
/// The address that `host` gives to what it sends there.
IpAddress source_of(const policy::Policy& policy, const IpAddress& destination, const InterfaceName& device = {});
/// Whether the address is one of `host`'s own.
bool is_own(const policy::Policy& policy, const IpAddress& address);

}  // namespace tails::leaktest
