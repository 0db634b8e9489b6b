#include <utility>

#include "leaktest/bed.h"
#include "leaktest/draft.h"
#include "leaktest/expectation.h"

namespace tails::leaktest {
namespace {

constexpr uint8_t kGre = 47, kExperimental = 253;

/// Every odd technique of one account at one place.
class OddWays {
 public:
  OddWays(Draft& draft, const policy::User& user, const Place& place)
      : draft_(draft), user_(user), place_(place), is_v6_(place.address.family == Family::kIpv6) {}

  void plan_some() {
    if (!place_.tcp.empty()) {
      put(Means::kFastOpen, protocol::kTcp, place_.tcp.front(), "TCP Fast Open");
      put_tcp(place_.tcp.front(), tcp_flag::kSyn, "raw TCP SYN");
      put_tcp(place_.tcp.front(), tcp_flag::kAck, "raw TCP ACK");
    }
    for (const Port port : place_.udp) put(Means::kUdpSend, protocol::kUdp, port, "unconnected UDP " + to_text(port));
  }

  void plan_all() {
    plan_tcp(place_.tcp.empty() ? place_.udp.front() : place_.tcp.front());
    // A datagram that some may send, and one that nobody may.
    const Port first = place_.udp.empty() ? Port{9} : place_.udp.front();
    plan_udp(first);
    if (!place_.udp.empty() && first != 53) plan_udp(53);
    put(Means::kPing, icmp(), 0, "ping");
    put(Means::kRawIcmp, icmp(), 0, is_v6_ ? "raw ICMPv6" : "raw ICMP");
    for (const auto& [number, name] :
         {std::pair{protocol::kSctp, "SCTP"}, std::pair{protocol::kUdplite, "UDP-Lite"},
          std::pair{protocol::kDccp, "DCCP"}, std::pair{kGre, "GRE"}, std::pair{kExperimental, "protocol 253"}}) {
      // Conntrack calls INVALID what is no sound packet of a protocol that it knows, and ours are none: where they
      // could pass as NEW, this kernel's modules would decide.
      const bool is_known = number == protocol::kSctp || number == protocol::kUdplite || number == protocol::kDccp;
      put(
          Means::kRawProtocol, number, 0, std::string("raw ") + name, [](Case&) {}, is_known);
    }
  }

 private:
  static std::string to_text(Port port) { return std::to_string(port); }
  [[nodiscard]] uint8_t icmp() const { return is_v6_ ? protocol::kIcmpv6 : protocol::kIcmp; }

  template <class Change>
  void put(Means means, uint8_t number, Port port, std::string how, Change change, bool only_if_stopped = false) {
    Case attempt = case_of(draft_.policy(), user_, place_, means, number, port, std::move(how));
    change(attempt);
    expect(draft_.policy(), attempt);
    if (!only_if_stopped || !attempt.may_pass()) draft_.add(std::move(attempt));
  }
  void put(Means means, uint8_t number, Port port, std::string how) {
    put(means, number, port, std::move(how), [](Case&) {});
  }
  void put_tcp(Port port, uint8_t flags, std::string how) {
    put(Means::kRawPacket, protocol::kTcp, port, std::move(how), [=](Case& c) { c.tcp_flags = flags; });
  }
  static void mark(Case& attempt) {
    constexpr uint8_t kExpedited = 0xB8;
    attempt.tos = kExpedited;
  }
  void spoof(Case& attempt) const {
    attempt.source.address = is_v6_ ? kForeignV6 : kForeign;
    attempt.has_source_address = true;
    // To many from an address that is nobody's: there is a route only for a socket that names its cable.
    if (is_for_many(place_.address)) attempt.device = route_of(draft_.policy(), place_.address);
  }

  void plan_tcp(Port port) {
    const std::string tos = is_v6_ ? "IPV6_TCLASS" : "IP_TOS";
    // The kernel itself connects to nobody by multicast or broadcast.
    if (!is_for_many(place_.address)) {
      put(Means::kTcp, protocol::kTcp, port, "TCP with " + tos, mark);
      put(Means::kTcp, protocol::kTcp, port, "TCP, IP_TRANSPARENT", [this](Case& c) { spoof(c); });
      put(Means::kFastOpen, protocol::kTcp, port, "TCP Fast Open");
    }
    using namespace tcp_flag;  // NOLINT(google-build-using-namespace)
    put_tcp(port, kSyn, "raw TCP SYN");
    put_tcp(port, kSyn | 0xC0, "raw TCP SYN, ECN");
    put_tcp(port, 0, "raw TCP without flags");
    put_tcp(port, kFin | kPsh | kUrg, "raw TCP FIN PSH URG");
    put_tcp(port, kSyn | kFin, "raw TCP SYN FIN");
    put_tcp(port, kSyn | kAck, "raw TCP SYN ACK");
    put_tcp(port, kAck, "raw TCP ACK");
    put_tcp(port, kRst, "raw TCP RST");
    if (is_v6_) put(Means::kBehindOptions, protocol::kTcp, port, "raw TCP SYN behind a hop-by-hop header");
  }

  void plan_udp(Port port) {
    const std::string number = to_text(port);
    put(Means::kUdpSend, protocol::kUdp, port, "unconnected UDP " + number);
    put(Means::kUdpSend, protocol::kUdp, port, "UDP " + number + (is_v6_ ? " with IPV6_TCLASS" : " with IP_TOS"), mark);
    put(Means::kUdpSend, protocol::kUdp, port, "UDP " + number + ", IP_TRANSPARENT", [this](Case& c) { spoof(c); });
    put(Means::kRawPacket, protocol::kUdp, port, "raw UDP " + number);
    put(Means::kFragments, protocol::kUdp, port, "UDP " + number + " in fragments");
    put(Means::kLaterFragment, protocol::kUdp, port, "a later fragment of UDP " + number + " alone");
  }

  Draft& draft_;
  const policy::User& user_;
  const Place& place_;
  bool is_v6_;
};

void plan_join(Draft& draft, const policy::User& user, const IpAddress& group, const char* how) {
  const Place place{"multicast (joining a group)", group};
  Case join = case_of(draft.policy(), user, place, Means::kJoin, protocol::kUdp, 0, how);
  join.expected = Expected::kStopped;
  join.origin = draft.policy().origin;
  draft.add(std::move(join));
}

}  // namespace

void plan_odd(Draft& draft, const std::vector<policy::User>& users) {
  for (const policy::User& user : users) {
    for (const Place& place : draft.places()) {
      if (place.odd == Odd::kAll) OddWays(draft, user, place).plan_all();
      if (place.odd == Odd::kSome) OddWays(draft, user, place).plan_some();
    }
    plan_join(draft, user, IpAddress::v4(239, 1, 2, 3), "IGMP");
    plan_join(draft, user, IpAddress::v6(0xFF05000000000000, 0x1203), "MLD");
  }
}

}  // namespace tails::leaktest
