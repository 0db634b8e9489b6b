#include "leaktest/plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string_view>

#include "leaktest/bed.h"
#include "policy/decide.h"

namespace tails::leaktest {
namespace {

using policy::Policy;
using policy::PortGrant;

/// More of them than that would take longer than anybody waits; what is left out is said.
constexpr size_t kMostAccounts = 48;
constexpr size_t kMostPlaces = 64;

/// Source ports that name a case; outside the kernel's own choice (ip_local_port_range).
constexpr Port kFirstPort = 33000;
constexpr Port kLastPort = 60999;

std::vector<policy::User> accounts_of(const Policy& policy) {
  std::map<std::string, Uid> found;
  const auto add = [&](const policy::User& user) { found.emplace(user.name, user.uid); };
  if (policy.live) add(*policy.live);
  if (policy.tor) add(policy.tor->user);
  for (const policy::Direct& direct : policy.direct) add(direct.user);
  for (const policy::Service& service : policy.services) {
    for (const policy::User& user : service.allow) add(user);
    for (const policy::User& user : service.deny) add(user);
  }
  std::vector<policy::User> users;
  for (const auto& [name, uid] : found) users.push_back({name, uid});
  return users;
}

/// A place to go, and the port grants that make it interesting.
struct Place {
  std::string name;
  IpAddress address;
  std::vector<Port> tcp{};
  std::vector<Port> udp{};
  bool is_odd = false;            ///< Worth every odd technique, not only TCP and UDP.
  std::vector<PortRange> from{};  ///< Source ports that its service names.
};

void add_port(std::vector<Port>& ports, unsigned port) {
  if (port < 1 || port > 65535) return;
  const Port value = static_cast<Port>(port);
  if (std::ranges::find(ports, value) == ports.end()) ports.push_back(value);
}

enum class Which : uint8_t { kEnds, kBeside };

/// The ends of each range, or what lies beside them: where a rule that is too wide or too narrow shows.
void add_ports(Place& place, const std::vector<PortGrant>& grants, Which which) {
  for (const PortGrant& grant : grants) {
    std::vector<Port>& ports = grant.protocol == protocol::kTcp ? place.tcp : place.udp;
    if (which == Which::kBeside) {
      if (!grant.ports.is_any()) add_port(ports, grant.ports.last + 1U), add_port(ports, grant.ports.first - 1U);
    } else if (grant.ports.is_any()) {
      add_port(ports, grant.protocol == protocol::kTcp ? 7777 : 7778);
    } else {
      add_port(ports, grant.ports.first);
      add_port(ports, grant.ports.last);
    }
  }
}

void add_ports(Place& place, const std::vector<PortGrant>& grants) {
  add_ports(place, grants, Which::kEnds);
  add_ports(place, grants, Which::kBeside);
}

class Planner {
 public:
  Planner(const Policy& policy, bool is_quick) : policy_(policy), is_quick_(is_quick) {}

  Plan make() && {
    find_places();
    std::vector<policy::User> users = accounts_of(policy_);
    if (users.size() > kMostAccounts) {
      plan_.notices.push_back("Of " + std::to_string(users.size()) + " accounts the first " +
                              std::to_string(kMostAccounts) + " were tried.");
      users.resize(kMostAccounts);
    }
    users.push_back({"an unknown account", kStranger});
    for (const Place& place : places_) {
      service_ports_.insert(place.tcp.begin(), place.tcp.end());
      service_ports_.insert(place.udp.begin(), place.udp.end());
    }
    find_opener(users);
    for (const policy::User& user : users) plan_user(user);
    for (const policy::Namespace& space : policy_.namespaces) plan_guest(space);
    plan_outside();
    if (!is_quick_) plan_kernel();
    plan_services();
    return std::move(plan_);
  }

 private:
  // ---- Where to ----

  void find_places() {
    Place internet{"the Internet", kInternet, {443, 53}, {443, 53}, true};
    if (policy_.tor) add_ports(internet, policy_.tor->out);
    for (const policy::Direct& direct : policy_.direct) add_ports(internet, direct.out);
    places_.push_back(std::move(internet));

    bool is_first = true;
    for (const Prefix& network : policy_.lan.networks) {
      Place lan{"the LAN (" + to_string(network) + ")", address_in(network), {445}, {4000}, is_first};
      add_ports(lan, policy_.lan.closed);
      if (is_first) lan.tcp.push_back(7777);
      is_first = false;
      places_.push_back(std::move(lan));
    }
    places_.push_back({"the LAN's broadcast", IpAddress::v4(192, 168, 50, 255), {}, {137, 4000}});
    places_.push_back({"limited broadcast", IpAddress::v4(255, 255, 255, 255), {}, {67, 4000}});
    places_.push_back({"multicast (mDNS, SSDP)", IpAddress::v4(224, 0, 0, 251), {}, {5353}});
    places_.push_back({"multicast (mDNS, SSDP)", IpAddress::v4(239, 255, 255, 250), {}, {1900}});
    places_.push_back({"link-local", IpAddress::v4(169, 254, 7, 7), {80}, {5355}});
    places_.push_back({"its own LAN address", kHostLan, {8080}, {8081}});
    places_.push_back({"its own Internet address", kHostInternet, {8080}, {8081}});
    for (const policy::Namespace& space : policy_.namespaces) {
      places_.push_back({"guest " + space.name, space.guest, {8080}, {8081}});
      places_.push_back({"its own end of " + space.name, space.host, {8080}, {}});
    }
    places_.push_back({"the Internet, IPv6", kInternetV6, {443}, {53}, true});
    places_.push_back({"its own IPv6 address", kHostV6, {8080}, {8081}});
    places_.push_back({"IPv6 multicast", IpAddress::v6(0xFF02000000000000, 0xFB), {}, {5353}});
    if (policy_.tor && policy_.tor->automap) {
      const IpAddress first = policy_.tor->automap->address();
      places_.push_back({"onion names (automap)", IpAddress::v4(first.v4_bits() + 7), {80}, {80}});
    }
    Place dns{"local DNS", kLoopbackV4, {53}, {53}};
    if (policy_.tor && policy_.tor->dns_port)
      add_ports(dns, {{protocol::kUdp, PortRange::one(*policy_.tor->dns_port)}});
    if (policy_.tor && policy_.tor->trans_port) dns.tcp.push_back(*policy_.tor->trans_port);
    places_.push_back(std::move(dns));
    size_t services = 0;
    for (const policy::Service& service : policy_.services) {
      if (++services > kMostPlaces) continue;
      Place place{service.name, service.at, {}, {}, services == 1, service.from};
      add_ports(place, service.ports, Which::kEnds);
      Place beside{"ports beside: " + service.name, service.at};
      add_ports(beside, service.ports, Which::kBeside);
      places_.push_back(std::move(place));
      if (!beside.tcp.empty() || !beside.udp.empty()) places_.push_back(std::move(beside));
    }
    if (services > kMostPlaces) {
      plan_.notices.push_back("Of " + std::to_string(services) + " services the first " + std::to_string(kMostPlaces) +
                              " were tried.");
    }
    places_.push_back({"a local port without a service", kLoopbackV4, {7}, {7}});
    places_.push_back({"another loopback address", IpAddress::v4(127, 9, 9, 9), {9050, 80}, {53}});
    places_.push_back({"a local IPv6 port without a service", kLoopbackV6, {7}, {7}});
  }

  /// An address of a LAN that is no guest's and not the machine's.
  IpAddress address_in(const Prefix& network) const {
    const Prefix here = *Prefix::make(kHostLan, 24);
    IpAddress address = network.contains(kLanGateway) ? kLanGateway : network.address();
    if (!network.contains(kLanGateway) && network.length() <= 24) address = IpAddress::v4(address.v4_bits() + 0x1403);
    const auto is_taken = [&](const IpAddress& a) {
      return std::ranges::any_of(policy_.namespaces, [&](const auto& s) { return s.network.contains(a); }) ||
             (is_own(policy_, a) && !here.contains(a));
    };
    while (is_taken(address) && network.contains(address)) address = IpAddress::v4(address.v4_bits() + 4);
    return address;
  }

  // ---- What is expected ----

  Packet packet_of(const Case& attempt, ConnState state, uint8_t icmp_type) const {
    Packet packet;
    packet.protocol = attempt.protocol;
    packet.destination = attempt.target.address;
    packet.source = attempt.has_source_address          ? attempt.source.address
                    : packet.destination == kLoopbackV6 ? kLoopbackV6
                    : packet.family() == Family::kIpv6  ? kHostV6
                                                        : kHostInternet;
    packet.source_port = attempt.source.port;
    packet.destination_port = attempt.target.port;
    packet.tcp_flags = attempt.tcp_flags;
    packet.icmp_type = icmp_type;
    packet.later_fragment = attempt.means == Means::kLaterFragment;
    packet.out = attempt.device.empty() ? route_of(policy_, packet.destination) : attempt.device;
    packet.uid = attempt.uid;
    if (attempt.uid) packet.gid = Gid{attempt.uid->value};
    packet.state = state;
    return packet;
  }

  /// Whether an answer can come back to the socket.
  bool can_be_answered(const Case& attempt) const {
    const IpAddress& to = attempt.target.address;
    const bool is_for_one = to.family == Family::kIpv6 || ((to.v4_bits() >> 24) < 224 && (to.v4_bits() & 255) != 255);
    if (!is_for_one || attempt.has_source_address) return false;
    switch (attempt.means) {
      case Means::kTcp:
      case Means::kFastOpen:
      case Means::kUdp:
      case Means::kUdpSend:
      case Means::kPing: return true;
      default: return false;
    }
  }

  /// A refusal is an ICMP error to the sender's own address: of IPv6 only what is between ::1 and ::1 passes.
  static bool can_be_told(const Case& attempt) {
    return attempt.target.address.family == Family::kIpv4 || attempt.target.address == kLoopbackV6;
  }

  void expect(Case& attempt) const {
    const bool is_icmp = attempt.means == Means::kPing || attempt.means == Means::kRawIcmp;
    const uint8_t icmp_type = is_icmp ? (attempt.target.address.family == Family::kIpv4 ? 8 : 128) : 0;
    std::vector<ConnState> states{ConnState::kNew};
    const bool is_odd_tcp = attempt.means == Means::kRawPacket && attempt.protocol == protocol::kTcp &&
                            (attempt.tcp_flags & tcp_flag::kSynMask) != tcp_flag::kSyn;
    // What conntrack makes of these depends on its settings; a state that the packet may have must not let it out.
    if (is_odd_tcp) states.push_back(ConnState::kInvalid);
    if (attempt.means == Means::kLaterFragment) states = {ConnState::kInvalid, ConnState::kUntracked};
    if (attempt.means == Means::kUdpReuse) states = {ConnState::kEstablished};
    if (attempt.means == Means::kSynIntoFlow) states = {ConnState::kEstablished, ConnState::kInvalid};
    bool may_pass = false;
    attempt.arrives_at = attempt.target;
    for (const ConnState state : states) {
      const policy::Decision decision = policy::decide(policy_, packet_of(attempt, state, icmp_type));
      may_pass |= decision.verdict == Verdict::kAccept;
      if (decision.redirected_to) attempt.arrives_at = *decision.redirected_to;
      attempt.origin = decision.origin;
    }
    if (may_pass) {
      attempt.expected = can_be_answered(attempt) ? Expected::kReaches : Expected::kPasses;
    } else if (attempt.means == Means::kTcp && !attempt.has_source_address && can_be_told(attempt) &&
               policy_.blocked.answer == policy::Blocked::Answer::kReject) {
      attempt.expected = Expected::kRefused;
    } else {
      attempt.expected = Expected::kStopped;
    }
  }

  /// The port that names the case, unless it has one.
  Case& add(Case attempt) {
    attempt.id = static_cast<uint32_t>(plan_.cases.size());
    if (attempt.source.port == 0) {
      // An answer must not look like a case: it comes from the port of a service.
      while (service_ports_.contains(next_port_)) ++next_port_;
      attempt.source.port = next_port_;
      // Past the last port the numbers begin again, in a later round: no two cases of one have the same.
      next_port_ = next_port_ >= kLastPort ? kFirstPort : static_cast<Port>(next_port_ + 1);
      if (next_port_ == kFirstPort) round_ = plan_.rounds++;
      attempt.round = round_;
    }
    plan_.cases.push_back(std::move(attempt));
    return plan_.cases.back();
  }

  // ---- Accounts of the machine ----

  Case begin(const policy::User& user, const Place& place, Means means, uint8_t number, Port port,
             std::string how) const {
    Case attempt;
    attempt.user = user.name;
    attempt.uid = user.uid;
    attempt.to = place.name;
    attempt.how = std::move(how);
    attempt.means = means;
    attempt.protocol = number;
    attempt.target = {place.address, port};
    return attempt;
  }

  void plan_user(const policy::User& user) {
    for (const Place& place : places_) {
      for (const Port port : place.tcp) {
        Case attempt = begin(user, place, Means::kTcp, protocol::kTcp, port, "TCP " + std::to_string(port));
        expect(attempt);
        add(std::move(attempt));
      }
      for (const Port port : place.udp) {
        Case attempt = begin(user, place, Means::kUdp, protocol::kUdp, port, "UDP " + std::to_string(port));
        expect(attempt);
        add(std::move(attempt));
      }
      if (!place.from.empty()) plan_source_ports(user, place);
    }
    if (is_quick_) return;
    for (const Place& place : places_) {
      if (place.is_odd && place.address.family == Family::kIpv4) plan_odd(user, place);
      if (place.is_odd && place.address.family == Family::kIpv6) plan_odd_ipv6(user, place);
    }
    plan_by_device(user);
    plan_flows_of_others(user);
    Case join = begin(user, places_.front(), Means::kJoin, protocol::kUdp, 0, "IGMP");
    join.to = "multicast (joining a group)";
    join.target.address = IpAddress::v4(239, 1, 2, 3);
    join.expected = Expected::kStopped;
    join.origin = policy_.origin;
    add(std::move(join));
  }

  /// The first of each range, the port before it, and the last of each: one account at a time, because many share them.
  void plan_source_ports(const policy::User& user, const Place& place) {
    const unsigned round = plan_.rounds++;
    std::set<Port> sources;
    for (const PortRange& range : place.from) {
      sources.insert({range.first, range.last, static_cast<Port>(range.first - 1)});
    }
    for (const Port source : sources) {
      if (place.tcp.empty()) continue;
      const Port port = place.tcp.front();
      Case attempt = begin(user, place, Means::kTcp, protocol::kTcp, port,
                           "TCP " + std::to_string(port) + " from port " + std::to_string(source));
      attempt.source.port = source;
      attempt.round = round;
      expect(attempt);
      add(std::move(attempt));
    }
  }

  void plan_odd(const policy::User& user, const Place& place) {
    const Port tcp = place.tcp.front();
    // The datagram that some may send, and one that nobody may.
    const std::vector<Port> udp = place.udp.empty() ? std::vector<Port>{9} : std::vector<Port>{place.udp.front(), 53};
    const auto put = [&](Means means, uint8_t number, Port port, std::string how, auto change) {
      Case attempt = begin(user, place, means, number, port, std::move(how));
      change(attempt);
      expect(attempt);
      add(std::move(attempt));
    };
    const auto as_is = [](Case&) {};
    const auto spoofed = [](Case& c) { c.source.address = kForeign, c.has_source_address = true; };
    const auto flags = [](uint8_t value) { return [value](Case& c) { c.tcp_flags = value; }; };
    using namespace tcp_flag;  // NOLINT(google-build-using-namespace)

    put(Means::kTcp, protocol::kTcp, tcp, "TCP with IP_TOS", [](Case& c) { c.tos = 0xB8; });
    put(Means::kTcp, protocol::kTcp, tcp, "TCP, IP_TRANSPARENT", spoofed);
    put(Means::kFastOpen, protocol::kTcp, tcp, "TCP Fast Open", as_is);
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP SYN", as_is);
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP SYN, ECN", flags(kSyn | 0xC0));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP without flags", flags(0));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP FIN PSH URG", flags(kFin | kPsh | kUrg));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP SYN FIN", flags(kSyn | kFin));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP SYN ACK", flags(kSyn | kAck));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP ACK", flags(kAck));
    put(Means::kRawPacket, protocol::kTcp, tcp, "raw TCP RST", flags(kRst));
    for (const Port port : udp) {
      const std::string number = std::to_string(port);
      put(Means::kUdpSend, protocol::kUdp, port, "unconnected UDP " + number, as_is);
      put(Means::kUdpSend, protocol::kUdp, port, "UDP " + number + " with IP_TOS", [](Case& c) { c.tos = 0xB8; });
      put(Means::kUdpSend, protocol::kUdp, port, "UDP " + number + ", IP_TRANSPARENT", spoofed);
      put(Means::kRawPacket, protocol::kUdp, port, "raw UDP " + number, as_is);
      put(Means::kFragments, protocol::kUdp, port, "UDP " + number + " in fragments", as_is);
      put(Means::kLaterFragment, protocol::kUdp, port, "a later fragment of UDP alone", as_is);
    }
    put(Means::kPing, protocol::kIcmp, 0, "ping", as_is);
    put(Means::kRawIcmp, protocol::kIcmp, 0, "raw ICMP", as_is);
    constexpr uint8_t kGre = 47, kExperimental = 253;
    for (const auto& [number, name] :
         {std::pair{protocol::kSctp, "SCTP"}, std::pair{protocol::kUdplite, "UDP-Lite"},
          std::pair{protocol::kDccp, "DCCP"}, std::pair{kGre, "GRE"}, std::pair{kExperimental, "protocol 253"}}) {
      Case attempt = begin(user, place, Means::kRawProtocol, number, 0, std::string("raw ") + name);
      expect(attempt);
      // Conntrack calls INVALID what is no sound packet of a protocol that it knows, and ours are none: where they
      // could pass as NEW, this kernel's modules would decide.
      const bool is_known = number == protocol::kSctp || number == protocol::kUdplite || number == protocol::kDccp;
      if (!is_known || !attempt.may_pass()) add(std::move(attempt));
    }
  }

  void plan_odd_ipv6(const policy::User& user, const Place& place) {
    const auto put = [&](Means means, uint8_t number, Port port, std::string how) {
      Case attempt = begin(user, place, means, number, port, std::move(how));
      expect(attempt);
      add(std::move(attempt));
    };
    put(Means::kUdpSend, protocol::kUdp, 53, "unconnected UDP 53");
    put(Means::kPing, protocol::kIcmpv6, 0, "ping");
    put(Means::kRawIcmp, protocol::kIcmpv6, 0, "raw ICMPv6");
    put(Means::kRawProtocol, protocol::kSctp, 0, "raw SCTP");
  }

  void plan_by_device(const policy::User& user) {
    const Place loopback{"loopback addresses on a cable", kLoopbackV4};
    Place automap{"loopback addresses on a cable", IpAddress::v4(127, 192, 0, 7)};
    const Place& internet = places_.front();
    const auto put = [&](const Place& place, Means means, uint8_t number, Port port, const InterfaceName& device) {
      Case attempt = begin(user, place, means, number, port,
                           std::string(number == protocol::kTcp ? "TCP " : "UDP ") + std::to_string(port) +
                               " bound to " + std::string(device.view()));
      attempt.device = device;
      expect(attempt);
      if (attempt.expected == Expected::kRefused && device.is_loopback()) attempt.expected = Expected::kStopped;
      // Nobody answers for 127/8 on a cable, nor for the Internet on a guest's.
      const bool has_answerer = device == kEth0 || device == kEth1;
      if (attempt.expected == Expected::kReaches && (!has_answerer || kLoopbackNetV4.contains(place.address))) {
        attempt.expected = Expected::kPasses;
      }
      add(std::move(attempt));
    };
    for (const InterfaceName& device : {kEth0, kEth1}) {
      put(loopback, Means::kTcp, protocol::kTcp, 8080, device);
      put(loopback, Means::kUdpSend, protocol::kUdp, 53, device);
      put(automap, Means::kTcp, protocol::kTcp, 80, device);
    }
    put(internet, Means::kTcp, protocol::kTcp, 443, kEth1);
    put(internet, Means::kUdp, protocol::kUdp, 53, kEth1);
    put(internet, Means::kTcp, protocol::kTcp, 443, kLoopbackInterface);
    put(internet, Means::kUdpSend, protocol::kUdp, 53, kLoopbackInterface);
    for (const policy::Namespace& space : policy_.namespaces) {
      put(internet, Means::kTcp, protocol::kTcp, 443, space.interface);
      break;  // one cable of a guest is like the others
    }
  }

  void find_opener(const std::vector<policy::User>& users) {
    for (const policy::User& user : users) {
      Case udp = begin(user, places_.front(), Means::kUdp, protocol::kUdp, 53, "");
      Case tcp = begin(user, places_.front(), Means::kTcp, protocol::kTcp, 443, "");
      expect(udp);
      expect(tcp);
      if (!udp_opener_ && udp.may_pass()) udp_opener_ = user.uid;
      if (!tcp_opener_ && tcp.may_pass()) tcp_opener_ = user.uid;
    }
  }

  void plan_flows_of_others(const policy::User& user) {
    if (udp_opener_ && user.uid != *udp_opener_) {
      Case attempt =
          begin(user, places_.front(), Means::kUdpReuse, protocol::kUdp, 53, "UDP 53 by another's open flow");
      attempt.opener = *udp_opener_;
      expect(attempt);
      add(std::move(attempt));
    }
    if (tcp_opener_ && user.uid != *tcp_opener_) {
      Case attempt =
          begin(user, places_.front(), Means::kSynIntoFlow, protocol::kTcp, 443, "raw SYN into another's connection");
      attempt.opener = *tcp_opener_;
      expect(attempt);
      add(std::move(attempt));
    }
  }

  // ---- Guests ----

  void plan_guest(const policy::Namespace& space) {
    const policy::User user = policy_.live ? *policy_.live : policy::User{"an unknown account", kStranger};
    const auto put = [&](std::string to, Means means, uint8_t number, const Endpoint& target, bool may_pass,
                         std::string how = {}) {
      Case attempt;
      attempt.user = "guest " + space.name;
      attempt.uid = user.uid;
      attempt.place = space.name;
      attempt.to = std::move(to);
      const char* name = number == protocol::kTcp ? "TCP " : number == protocol::kUdp ? "UDP " : "";
      attempt.how = how.empty() ? name + std::to_string(target.port) : std::move(how);
      attempt.means = means;
      attempt.protocol = number;
      attempt.target = attempt.arrives_at = target;
      attempt.expected = may_pass ? Expected::kReaches : Expected::kStopped;
      attempt.origin = space.origin;
      add(std::move(attempt));
    };
    const auto tcp = [&](std::string to, const IpAddress& at, Port port, bool may_pass) {
      put(std::move(to), Means::kTcp, protocol::kTcp, {at, port}, may_pass);
    };
    const auto udp = [&](std::string to, const IpAddress& at, Port port, bool may_pass) {
      put(std::move(to), Means::kUdp, protocol::kUdp, {at, port}, may_pass);
    };
    const auto is_service = [&](Port port) {
      return std::ranges::any_of(space.services, [&](const PortGrant& g) { return g.covers(protocol::kTcp, port); });
    };
    std::vector<Port> ports{9052, 22};
    for (const policy::Namespace& other : policy_.namespaces) {
      for (const PortGrant& grant : other.services) add_port(ports, grant.ports.first);
    }
    for (const Port port : ports) {
      tcp("host: port " + std::to_string(port), space.host, port, is_service(port));
      tcp("host: port " + std::to_string(port) + ", as 127.0.0.1", kLoopbackV4, port, is_service(port));
      tcp("the host's other addresses", kHostLan, port, false);
    }
    udp("host: UDP", space.host, 8081, false);
    tcp("the Internet", kInternet, 443, space.internet);
    udp("the Internet", kInternet, 53, space.internet);
    udp("the Internet", kInternet, 443, space.internet);
    put("the Internet", Means::kPing, protocol::kIcmp, {kInternet, 0}, false, "ping");
    if (!policy_.lan.networks.empty()) {
      const IpAddress lan = address_in(policy_.lan.networks.back());
      tcp("the LAN", lan, 445, space.internet);
      udp("the LAN", lan, 53, space.internet);
    }
    for (const policy::Namespace& other : policy_.namespaces) {
      if (other.name == space.name) continue;
      tcp("other guests", other.guest, 8080, false);
      tcp("other guests", other.host, other.services.empty() ? Port{9050} : other.services.front().ports.first, false);
    }
    tcp("IPv6", kInternetV6, 443, false);
    plan_hostile_guest(space);
  }

  /// What comes by a guest's cable when its own rules are gone.
  void plan_hostile_guest(const policy::Namespace& space) {
    const auto put = [&](std::string to, uint8_t number, const IpAddress& source, const Endpoint& target, uint8_t flags,
                         std::string how) {
      Case attempt;
      attempt.user = "guest " + space.name;
      attempt.place = space.name;
      attempt.means = Means::kInject;
      attempt.protocol = number;
      attempt.target = target;
      attempt.source.address = source;
      attempt.has_source_address = true;
      attempt.tcp_flags = flags;
      attempt.to = std::move(to);
      attempt.how = std::move(how);
      expect_injected(attempt, space.interface);
      add(std::move(attempt));
    };
    const IpAddress& self = space.guest;
    put("the Internet", protocol::kTcp, self, {kInternet, 443}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
    put("the Internet", protocol::kTcp, self, {kInternet, 443}, tcp_flag::kAck, "raw TCP ACK past its own rules");
    put("the Internet", protocol::kUdp, self, {kInternet, 53}, 0, "raw UDP past its own rules");
    put("the Internet", protocol::kIcmp, self, {kInternet, 0}, 0, "raw ICMP past its own rules");
    put("the Internet", protocol::kUdplite, self, {kInternet, 53}, 0, "raw UDP-Lite past its own rules");
    const Port service = space.services.empty() ? Port{9050} : space.services.front().ports.first;
    put("host, spoofed", protocol::kTcp, kForeign, {space.host, service}, tcp_flag::kSyn, "TCP with another's address");
    put("host, raw", protocol::kTcp, self, {space.host, 9052}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
    put("host, raw", protocol::kTcp, self, {kHostLan, service}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
    put("host, raw", protocol::kUdp, self, {space.host, 8081}, 0, "raw UDP past its own rules");
    put("host, raw", protocol::kIcmp, self, {space.host, 0}, 0, "raw ICMP past its own rules");
    for (const policy::Namespace& other : policy_.namespaces) {
      if (other.name == space.name) continue;
      put("other guests", protocol::kTcp, self, {other.guest, 8080}, tcp_flag::kSyn, "raw TCP SYN past its own rules");
      put("other guests", protocol::kUdp, self, {other.guest, 8081}, 0, "raw UDP past its own rules");
      put("other guests", protocol::kTcp, self, {other.host, service}, tcp_flag::kSyn,
          "raw TCP SYN past its own rules");
    }
  }

  /// A packet on a cable: INPUT or FORWARD decide.
  void expect_injected(Case& attempt, const InterfaceName& in) const {
    Packet packet = packet_of(attempt, ConnState::kNew, 8);
    packet.source = attempt.source.address;
    packet.uid.reset();
    packet.gid.reset();
    packet.in = in;
    const bool is_local = is_own(policy_, attempt.target.address);
    packet.hook = is_local ? Hook::kInput : Hook::kForward;
    packet.out = is_local ? InterfaceName{} : route_of(policy_, attempt.target.address);
    const policy::Decision decision = policy::decide(policy_, packet);
    attempt.origin = decision.origin;
    attempt.arrives_at = attempt.target;
    attempt.expected = decision.verdict == Verdict::kAccept ? Expected::kPasses : Expected::kStopped;
    // A packet from nowhere: what would be let in still finds nobody.
    if (attempt.expected == Expected::kPasses && is_local && attempt.protocol != protocol::kTcp) {
      attempt.expected = Expected::kStopped;
    }
  }

  // ---- From outside ----

  void plan_outside() {
    const auto put = [&](const char* user, const InterfaceName& wire, const InterfaceName& in, const IpAddress& source,
                         const Endpoint& target, uint8_t number, uint8_t flags, std::string to, std::string how) {
      Case attempt;
      attempt.user = user;
      attempt.place = std::string(wire.view());
      attempt.means = Means::kInject;
      attempt.protocol = number;
      attempt.target = target;
      attempt.source.address = source;
      attempt.has_source_address = true;
      attempt.tcp_flags = flags;
      attempt.to = std::move(to);
      attempt.how = std::move(how);
      expect_injected(attempt, in);
      add(std::move(attempt));
    };
    struct Side {
      const char* user;
      InterfaceName wire, in;
      IpAddress source, host;
    };
    const IpAddress lan = policy_.lan.networks.empty() ? kLanGateway : address_in(policy_.lan.networks.back());
    for (const Side& side : {Side{"the Internet", kWire0, kEth0, kInternet, kHostInternet},
                             Side{"the LAN", kWire1, kEth1, lan, kHostLan}}) {
      std::set<Port> ports{8080, 22};
      for (const policy::Service& service : policy_.services) {
        for (const PortGrant& grant : service.ports) {
          if (grant.protocol == protocol::kTcp && !grant.ports.is_any() && ports.size() < kMostPlaces) {
            ports.insert(grant.ports.first);
          }
        }
      }
      for (const Port port : ports) {
        put(side.user, side.wire, side.in, side.source, {side.host, port}, protocol::kTcp, tcp_flag::kSyn,
            "this machine", "TCP " + std::to_string(port));
      }
      put(side.user, side.wire, side.in, side.source, {side.host, 8081}, protocol::kUdp, 0, "this machine", "UDP 8081");
      put(side.user, side.wire, side.in, side.source, {side.host, 0}, protocol::kIcmp, 0, "this machine", "ping");
      put(side.user, side.wire, side.in, side.source, {side.host, 8080}, protocol::kTcp, tcp_flag::kAck, "this machine",
          "TCP ACK");
      put(side.user, side.wire, side.in, side.source, {kLoopbackV4, 9050}, protocol::kTcp, tcp_flag::kSyn,
          "this machine", "TCP for 127.0.0.1");
      for (const policy::Namespace& space : policy_.namespaces) {
        put(side.user, side.wire, side.in, side.source, {space.guest, 8080}, protocol::kTcp, tcp_flag::kSyn,
            "guest " + space.name, "TCP 8080");
        put(side.user, side.wire, side.in, side.source, {space.guest, 8081}, protocol::kUdp, 0, "guest " + space.name,
            "UDP 8081");
        put(side.user, side.wire, side.in, side.source, {space.guest, 0}, protocol::kIcmp, 0, "guest " + space.name,
            "ping");
        put(side.user, side.wire, side.in, side.source, {space.host, 8080}, protocol::kTcp, tcp_flag::kSyn,
            "this machine", "TCP 8080 at its end of " + space.name);
      }
      // Through the machine to the other side.
      const IpAddress far = side.wire == kWire0 ? lan : kInternet;
      put(side.user, side.wire, side.in, side.source, {far, 443}, protocol::kTcp, tcp_flag::kSyn,
          "through this machine", "TCP 443");
    }
  }

  /// An answer that comes too late makes the kernel itself send an ICMP error, which nobody asked for.
  void plan_kernel() {
    if (!udp_opener_) return;
    Case attempt = begin({"the kernel itself", *udp_opener_}, places_.front(), Means::kLateAnswer, protocol::kUdp, 53,
                         "UDP 53 whose answer comes too late");
    expect(attempt);
    add(std::move(attempt));
  }

  /// Whatever some case asks for has somebody who answers.
  void plan_services() {
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
  }

  const Policy& policy_;
  bool is_quick_;
  Plan plan_;
  std::vector<Place> places_;
  std::optional<Uid> udp_opener_;
  std::optional<Uid> tcp_opener_;
  std::set<Port> service_ports_;
  Port next_port_ = kFirstPort;
  unsigned round_ = 0;
};

}  // namespace

Plan make_plan(const Policy& policy, bool is_quick) { return Planner(policy, is_quick).make(); }

}  // namespace tails::leaktest
