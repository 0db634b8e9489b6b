#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"
#include "net/shared_text.h"
#include "ruleset/rule_set.h"

/// A policy in its final form: who may talk to what. Names are resolved, conditions are answered, values are
/// checked; a bad value cannot exist here. `read.h` makes it, `decide.h` gives its meaning, `lower.h` its rules.
namespace tails::policy {

using ruleset::Origin;

/// An account: the name as the policy writes it (for messages) and its number.
struct User {
  SharedText name;
  Uid uid;
  friend bool operator==(const User&, const User&) = default;
};

/// "tcp/9050", "udp/137-138", "tcp": TCP or UDP and a range of destination ports, first >= 1 unless any.
struct PortGrant {
  uint8_t protocol = protocol::kTcp;  ///< protocol::kTcp or protocol::kUdp.
  PortRange ports;
  [[nodiscard]] constexpr bool covers(uint8_t packet_protocol, Port port) const {
    return packet_protocol == protocol && ports.contains(port);
  }
  friend bool operator==(const PortGrant&, const PortGrant&) = default;
};

/// [tor]
struct Tor {
  User user;
  std::vector<PortGrant> out;
  bool lan = true;
  bool lan_dns = false;
  std::optional<Port> trans_port;
  std::optional<Port> dns_port;
  bool redirect_dns = false;      ///< Then `dns_port` is present.
  std::optional<Prefix> automap;  ///< IPv4, inside 127/8; then `trans_port` is present.
  Origin origin;
  Origin automap_origin;
  Origin redirect_dns_origin;
};

/// [[direct]]: may reach the network without Tor; never by loopback.
struct Direct {
  User user;
  std::vector<PortGrant> out;
  bool lan = true;  ///< False: never the LAN, also when `is_active` is false.
  bool lan_dns = false;
  bool is_active = true;  ///< The answer to `when`.
  Origin origin;
};

/// [lan]: open to everyone, never by loopback, but for the closed ports.
struct Lan {
  std::vector<Prefix> networks;  ///< IPv4.
  std::vector<PortGrant> closed;
  Origin origin;
  Origin closed_origin;
};

/// [[service]] at one loopback address.
struct Service {
  std::string name;
  IpAddress at;  ///< In 127/8 outside automap, or ::1.
  std::vector<PortGrant> ports;
  std::vector<PortRange> from;  ///< Source ports; empty: any.
  std::vector<User> allow;
  std::vector<User> deny;  ///< Beats any allow for that address and those ports.
  bool is_active = true;   ///< The answer to `when`; denials hold always.
  Origin origin;
};

/// The guest's end of every namespace's veth pair, as it is called inside.
inline constexpr InterfaceName kGuestInterface = *InterfaceName::make("veth0");

/// [[namespace]]: a guest behind a veth pair whose host end is `interface`.
struct Namespace {
  std::string name;
  IpAddress host;   ///< IPv4, the host end's address.
  IpAddress guest;  ///< The next address.
  Prefix network;
  InterfaceName interface;          ///< "veth-" and the name.
  std::vector<PortGrant> services;  ///< On `host`, for the guest.
  bool internet = false;            ///< Forwarded and masqueraded, but not into other namespaces.
  Origin origin;
};

/// [blocked]: what happens to a packet that OUTPUT blocks.
struct Blocked {
  enum class LogTo : uint8_t { kNone, kKernel, kNflog };
  enum class Answer : uint8_t { kReject, kDrop };

  LogTo log = LogTo::kKernel;
  uint16_t nflog_group = 0;
  std::string prefix = "Dropped outbound packet: ";
  Answer answer = Answer::kReject;
  std::optional<ruleset::LimitMatch> log_limit;
  Origin origin;
};

/// [host]: checked by `status`, set by `apply --host`.
struct Host {
  std::optional<IpAddress> resolver;
  std::string clearnet_resolver_file;
  std::map<std::string, int64_t> sysctl;  ///< "net.ipv4.tcp_mtu_probing" to its value.
  Origin origin;
};

/// [wire]: what has no owner but must pass the fast path.
struct Wire {
  bool pass_arp = false;
  bool pass_dhcp = false;
  Origin origin;
};

struct Policy {
  std::string name;
  std::string source;  ///< The file or profile it was read from.
  std::optional<Tor> tor;
  std::optional<User> live;
  std::vector<Direct> direct;
  Lan lan;
  std::vector<Service> services;
  std::vector<Namespace> namespaces;
  bool related_icmp_on_loopback = true;  ///< [states]
  Blocked blocked;
  Host host;
  Wire wire;
  Origin origin;  ///< Of the file as a whole: default blocking.
  Origin states_origin;
};

/// Every account that a policy names, each once, by name.
std::vector<User> accounts_of(const Policy& policy);

}  // namespace tails::policy
