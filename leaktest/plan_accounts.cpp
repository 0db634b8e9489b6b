#include <optional>
#include <set>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

Case begin(const policy::User& user, const Place& place, Means means, uint8_t number, Port port, std::string how) {
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

class Accounts {
 public:
  Accounts(Draft& draft, bool is_quick) : draft_(draft), is_quick_(is_quick) {}

  void plan(const std::vector<policy::User>& users) {
    find_opener(users);
    for (const policy::User& user : users) plan_user(user);
  }

  void plan_late_answer(const std::vector<policy::User>& users) {
    find_opener(users);
    if (!udp_opener_) return;
    Case attempt = begin({"the kernel itself", *udp_opener_}, internet(), Means::kLateAnswer, protocol::kUdp, 53,
                         "UDP 53 whose answer comes too late");
    expect(attempt);
    add(std::move(attempt));
  }

 private:
  void plan_user(const policy::User& user) {
    for (const Place& place : draft_.places()) {
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
    for (const Place& place : draft_.places()) {
      if (place.is_odd && place.address.family == Family::kIpv4) plan_odd(user, place);
      if (place.is_odd && place.address.family == Family::kIpv6) plan_odd_ipv6(user, place);
    }
    plan_by_device(user);
    plan_flows_of_others(user);
    Case join = begin(user, internet(), Means::kJoin, protocol::kUdp, 0, "IGMP");
    join.to = "multicast (joining a group)";
    join.target.address = IpAddress::v4(239, 1, 2, 3);
    join.expected = Expected::kStopped;
    join.origin = draft_.policy().origin;
    add(std::move(join));
  }

  /// The first of each range, the port before it, and the last of each: one account at a time, because many share them.
  void plan_source_ports(const policy::User& user, const Place& place) {
    const unsigned round = draft_.new_round();
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
    put(internet(), Means::kTcp, protocol::kTcp, 443, kEth1);
    put(internet(), Means::kUdp, protocol::kUdp, 53, kEth1);
    put(internet(), Means::kTcp, protocol::kTcp, 443, kLoopbackInterface);
    put(internet(), Means::kUdpSend, protocol::kUdp, 53, kLoopbackInterface);
    for (const policy::Namespace& space : draft_.policy().namespaces) {
      put(internet(), Means::kTcp, protocol::kTcp, 443, space.interface);
      break;  // one cable of a guest is like the others
    }
  }

  void find_opener(const std::vector<policy::User>& users) {
    for (const policy::User& user : users) {
      Case udp = begin(user, internet(), Means::kUdp, protocol::kUdp, 53, "");
      Case tcp = begin(user, internet(), Means::kTcp, protocol::kTcp, 443, "");
      expect(udp);
      expect(tcp);
      if (!udp_opener_ && udp.may_pass()) udp_opener_ = user.uid;
      if (!tcp_opener_ && tcp.may_pass()) tcp_opener_ = user.uid;
    }
  }

  void plan_flows_of_others(const policy::User& user) {
    if (udp_opener_ && user.uid != *udp_opener_) {
      Case attempt = begin(user, internet(), Means::kUdpReuse, protocol::kUdp, 53, "UDP 53 by another's open flow");
      attempt.opener = *udp_opener_;
      expect(attempt);
      add(std::move(attempt));
    }
    if (tcp_opener_ && user.uid != *tcp_opener_) {
      Case attempt =
          begin(user, internet(), Means::kSynIntoFlow, protocol::kTcp, 443, "raw SYN into another's connection");
      attempt.opener = *tcp_opener_;
      expect(attempt);
      add(std::move(attempt));
    }
  }

  void expect(Case& attempt) const { leaktest::expect(draft_.policy(), attempt); }
  void add(Case attempt) { draft_.add(std::move(attempt)); }
  [[nodiscard]] const Place& internet() const { return draft_.places().front(); }

  Draft& draft_;
  bool is_quick_;
  /// Who may open flows to the Internet that others can try to use.
  std::optional<Uid> udp_opener_;
  std::optional<Uid> tcp_opener_;
};

}  // namespace

void plan_accounts(Draft& draft, const std::vector<policy::User>& users, bool is_quick) {
  Accounts(draft, is_quick).plan(users);
}

void plan_late_answer(Draft& draft, const std::vector<policy::User>& users) {
  Accounts(draft, false).plan_late_answer(users);
}

}  // namespace tails::leaktest
