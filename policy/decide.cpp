#include "policy/decide.h"

#include <algorithm>

// The Meaning section of docs/semantics.md, sentence by sentence. It must stay readable beside that text and must know
// nothing of rules: it is what the rules are checked against.

namespace tails::policy {
namespace {

/// One packet as the filter sees it, behind nat, before one policy.
class Judge {
 public:
  Judge(const Policy& policy, const Packet& packet) : policy_(policy), packet_(packet) {
    const bool is_in_flow = packet.state != ConnState::kInvalid && packet.state != ConnState::kUntracked;
    if (packet.opens_flow()) {
      redirected_to_ = redirection();
    } else if (is_in_flow && packet.direction == Direction::kOriginal && packet.recorded_nat) {
      send_to(*packet.recorded_nat);  // as the flow's first packet was
    }
    if (redirected_to_) send_to(*redirected_to_);
  }

  Decision decide() const {
    const bool is_v4 = packet_.family() == Family::kIpv4;
    switch (packet_.hook) {
      case Hook::kOutput: return is_v4 ? output() : output_v6();
      case Hook::kInput: return is_v4 ? input() : input_v6();
      case Hook::kForward: return is_v4 ? forward() : drop();
    }
    return drop();
  }

 private:
  // ---- nat: before everything else, for what this machine sends ----

  std::optional<Endpoint> redirection() const {
    if (packet_.hook != Hook::kOutput || !policy_.tor) return std::nullopt;
    const Tor& tor = *policy_.tor;
    if (tor.automap && tor.automap->contains(packet_.destination) && is_tcp() && is_user(policy_.live->uid)) {
      return Endpoint{kLoopbackV4, *tor.trans_port};
    }
    if (tor.redirect_dns && packet_.destination == kLoopbackV4 && packet_.protocol == protocol::kUdp && has_header() &&
        packet_.destination_port == 53) {
      return Endpoint{kLoopbackV4, *tor.dns_port};
    }
    return std::nullopt;
  }
  void send_to(const Endpoint& to) {
    packet_.destination = to.address;
    packet_.destination_port = to.port;
  }

  // ---- OUTPUT, IPv4 ----

  Decision output() const {
    if (is_rest_of_flow()) return accept(policy_.origin);
    if (is(ConnState::kRelated) && packet_.is_icmp()) {
      if (packet_.out.is_loopback() && policy_.related_icmp_on_loopback) return accept(policy_.states_origin);
      for (const Namespace& space : policy_.namespaces) {
        if (packet_.out == space.interface) return accept(space.origin);
      }
    }
    if (!is(ConnState::kNew) && !is(ConnState::kEstablished)) return block(policy_.origin);
    return packet_.out.is_loopback() ? local_service() : network();
  }

  Decision local_service() const {
    for (const Service& service : policy_.services) {
      if (is_any_of(service.deny) && is_at(service)) return block(service.origin);
    }
    for (const Service& service : policy_.services) {
      if (is_any_of(service.allow) && service.is_active && is_at(service) && comes_from(service) && may_be_granted()) {
        return accept(service.origin);
      }
    }
    return block(policy_.origin);
  }

  Decision network() const {
    if (kLoopbackNetV4.contains(packet_.destination)) return block(policy_.origin);
    for (const Namespace& space : policy_.namespaces) {
      if (space.network.contains(packet_.destination)) return block(space.origin);
    }
    const bool is_lan =
        std::ranges::any_of(policy_.lan.networks, [&](auto& n) { return n.contains(packet_.destination); });
    if (is_lan && is_denied_the_lan()) return block(policy_.lan.origin);
    if (is_lan && is_any_port_of(policy_.lan.closed) && !may_ask_lan_dns()) return block(policy_.lan.closed_origin);
    if (!may_be_granted()) return block(policy_.origin);
    for (const Direct& direct : policy_.direct) {
      if (is_user(direct.user.uid) && direct.is_active && is_any_port_of(direct.out)) return accept(direct.origin);
    }
    if (is_tor() && is_any_port_of(policy_.tor->out)) return accept(policy_.tor->origin);
    return is_lan ? accept(policy_.lan.origin) : block(policy_.origin);
  }

  bool is_denied_the_lan() const {
    return (is_tor() && !policy_.tor->lan) ||
           std::ranges::any_of(policy_.direct, [&](const Direct& d) { return is_user(d.user.uid) && !d.lan; });
  }
  /// `lan_dns` lifts port 53, and that alone, for this user.
  bool may_ask_lan_dns() const {
    if (!has_header() || packet_.destination_port != 53) return false;
    return (is_tor() && policy_.tor->lan_dns) || std::ranges::any_of(policy_.direct, [&](const Direct& d) {
             return is_user(d.user.uid) && d.is_active && d.lan_dns;
           });
  }

  // ---- INPUT and FORWARD, IPv4 ----

  Decision input() const {
    if (is(ConnState::kEstablished) || packet_.in.is_loopback()) return accept(policy_.origin);
    for (const Namespace& space : policy_.namespaces) {
      if (packet_.in == space.interface && packet_.source == space.guest && packet_.destination == space.host &&
          is(ConnState::kNew) && may_be_granted() && is_any_port_of(space.services)) {
        return accept(space.origin);
      }
    }
    for (const Namespace& space : policy_.namespaces) {
      const auto holds_destination = [&](const Namespace& other) {
        return other.network.contains(packet_.destination);
      };
      if (space.internet && packet_.in == space.interface &&
          std::ranges::any_of(policy_.namespaces, holds_destination)) {
        return {Verdict::kReject, false, redirected_to_, space.origin};
      }
    }
    return drop();
  }

  Decision forward() const {
    const Namespace* from = namespace_at(packet_.in);
    const Namespace* to = namespace_at(packet_.out);
    if (from != nullptr && to == nullptr && from->internet) {
      const bool is_tcp_of_flow = is_tcp() && is(ConnState::kEstablished);
      const bool is_udp = packet_.protocol == protocol::kUdp;
      if (is_tcp_of_flow || ((is_tcp() || is_udp) && may_be_granted())) return accept(from->origin);
    }
    if (from == nullptr && to != nullptr && to->internet && is(ConnState::kEstablished)) return accept(to->origin);
    return drop();
  }

  const Namespace* namespace_at(const InterfaceName& interface) const {
    const auto at = std::ranges::find(policy_.namespaces, interface, &Namespace::interface);
    return at == policy_.namespaces.end() ? nullptr : &*at;
  }

  // ---- IPv6: between ::1 and ::1, by loopback ----

  Decision output_v6() const {
    if (!packet_.out.is_loopback() || !is_loopback_pair()) return block(policy_.origin);
    if (is_rest_of_flow() || is_icmpv6_of_flow()) return accept(policy_.origin);
    return is(ConnState::kNew) || is(ConnState::kEstablished) ? local_service() : block(policy_.origin);
  }

  Decision input_v6() const {
    if (!packet_.in.is_loopback() || !is_loopback_pair()) return drop();
    if (is(ConnState::kEstablished) || is_icmpv6_of_flow()) return accept(policy_.origin);
    if (!is(ConnState::kNew) || !may_be_granted()) return drop();
    for (const Service& service : policy_.services) {
      if (service.is_active && !service.allow.empty() && is_at(service) && comes_from(service)) {
        return accept(service.origin);
      }
    }
    return drop();
  }

  bool is_loopback_pair() const { return packet_.source == kLoopbackV6 && packet_.destination == kLoopbackV6; }
  bool is_icmpv6_of_flow() const {
    return packet_.is_icmp() && (is(ConnState::kEstablished) || is(ConnState::kRelated));
  }

  // ---- Words of the text ----

  bool is(ConnState state) const { return packet_.state == state; }
  bool is_tcp() const { return packet_.protocol == protocol::kTcp; }
  /// A later fragment has no ports and no flags (conntrack puts fragments together, so the filter sees none).
  bool has_header() const { return !packet_.later_fragment; }
  bool is_user(Uid uid) const { return packet_.uid == uid; }
  bool is_tor() const { return policy_.tor && is_user(policy_.tor->user.uid); }
  bool is_any_of(const std::vector<User>& users) const {
    return std::ranges::any_of(users, [&](const User& user) { return is_user(user.uid); });
  }

  /// TCP past its SYN, whoever sends it; of other protocols, the answers.
  bool is_rest_of_flow() const {
    if (!is(ConnState::kEstablished)) return false;
    return is_tcp() ? has_header() && !packet_.is_tcp_syn() : packet_.direction == Direction::kReply;
  }
  /// Whether its state lets any grant count: TCP only as SYN and NEW; other protocols also in a known flow's own
  /// direction (its answers passed before).
  bool may_be_granted() const {
    if (is_tcp()) return has_header() && packet_.is_tcp_syn() && is(ConnState::kNew);
    return is(ConnState::kNew) || is(ConnState::kEstablished);
  }

  bool covers(const PortGrant& grant, Port port) const {
    return grant.protocol == packet_.protocol && (grant.ports.is_any() || (has_header() && grant.ports.contains(port)));
  }
  bool is_any_port_of(const std::vector<PortGrant>& grants) const {
    return std::ranges::any_of(grants, [&](const PortGrant& g) { return covers(g, packet_.destination_port); });
  }
  /// Whether the destination is the service's, where udp/53 and dns_port of 127.0.0.1 are one place with two names.
  bool is_at(const Service& service) const {
    if (service.at != packet_.destination) return false;
    if (is_any_port_of(service.ports)) return true;
    if (!policy_.tor || !policy_.tor->redirect_dns || service.at != kLoopbackV4) return false;
    const Port dns_port = *policy_.tor->dns_port;
    const Port port = packet_.destination_port;
    if (packet_.protocol != protocol::kUdp || (port != 53 && port != dns_port)) return false;
    return std::ranges::any_of(service.ports, [&](const PortGrant& g) { return covers(g, 53) || covers(g, dns_port); });
  }
  bool comes_from(const Service& service) const {
    return service.from.empty() || (has_header() && std::ranges::any_of(service.from, [&](const PortRange& range) {
                                      return range.contains(packet_.source_port);
                                    }));
  }

  // ---- Answers ----

  Decision accept(const Origin& origin) const { return {Verdict::kAccept, false, redirected_to_, origin}; }
  /// Blocked in OUTPUT: logged, then answered.
  Decision block(const Origin& origin) const {
    const bool is_rejected = policy_.blocked.answer == Blocked::Answer::kReject;
    return {is_rejected ? Verdict::kReject : Verdict::kDrop, policy_.blocked.log != Blocked::LogTo::kNone,
            redirected_to_, origin};
  }
  /// INPUT and FORWARD drop in silence.
  Decision drop() const { return {Verdict::kDrop, false, redirected_to_, policy_.origin}; }

  const Policy& policy_;
  Packet packet_;
  std::optional<Endpoint> redirected_to_;
};

}  // namespace

Decision decide(const Policy& policy, const Packet& packet) { return Judge(policy, packet).decide(); }

}  // namespace tails::policy
