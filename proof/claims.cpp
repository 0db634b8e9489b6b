#include "proof/claims.h"

namespace tails::proof {
namespace {

/// Of ESTABLISHED packets only those that rest_of_flow does not describe are anybody's to grant, and a flow that was
/// never opened has none. So most claims are about packets that open a flow: state NEW.
std::vector<Claim> output_claims(const Meaning& m, const PacketSpace& space) {
  const Bdd opens = space.states(ConnState::kNew);
  const Bdd loopback = m.by_loopback_out();
  const Bdd on_wire = opens - loopback;
  const Bdd by_loopback = opens & loopback;
  const Bdd tcp = space.protocol(protocol::kTcp);
  const Bdd internet = on_wire & m.to_internet();
  const Bdd lan = on_wire & m.to_lan();
  const Bdd known_users = m.from_direct_users() | m.from_tor();
  const Bdd not_granted = ~m.direct_grants();
  const Bdd unserved = by_loopback - m.service_grants();
  const Bdd related = space.states(ConnState::kRelated);
  const Bdd established = space.states(ConnState::kEstablished);
  return {
      {"internet-only-direct-users", internet - known_users, "a user that may not reaches the Internet without Tor"},
      {"internet-only-direct-users", internet & known_users & tcp & not_granted,
       "a user reaches a TCP port of the Internet that its entry does not name"},
      {"lan-dns", lan & m.lan_closed(), "a closed port of the LAN is open to this user"},
      {"lan-dns", lan & m.from_lan_denied(), "a user that is kept from the LAN reaches it"},
      {"non-tcp-internet", (internet - tcp) & not_granted,
       "what is not TCP leaves to the Internet, and no entry names it for this user"},
      {"related", related - m.passes(Hook::kOutput),
       "a RELATED packet leaves that is no ICMP error to where one may go"},
      {"invalid", space.states(ConnState::kInvalid | ConnState::kUntracked), "an INVALID or UNTRACKED packet leaves"},
      {"transport-and-automap", unserved & m.to_trans_port(), "a user without a grant reaches Tor's TransPort"},
      {"transport-and-automap", opens & m.to_automap(), "a packet reaches an automap address, past Tor"},
      {"clearnet-no-loopback", unserved & m.from_direct_users(),
       "a direct user reaches something on loopback that no service grants it"},
      {"loopback-addresses-on-wire", on_wire & m.to_loopback_net(), "a packet for 127/8 leaves by a real interface"},
      {"local-services", unserved, "a user reaches something on loopback that no service grants it"},
      {"established-owner", established - m.passes(Hook::kOutput),
       "a user inherits the flow of another: a flow's own direction is not tested for its owner"},
      {"tor-syn-only", (opens & m.from_tor() & tcp) - space.tcp_syn(),
       "the Tor user opens a flow by TCP that is no SYN"},
      {"namespaces", on_wire & m.to_namespaces(), "the host opens a flow to a namespace"},
  };
}

std::vector<Claim> input_claims(const Meaning& m, const PacketSpace& space) {
  const Bdd from_wire = ~m.by_loopback_in();
  return {
      {"related", from_wire & space.states(ConnState::kRelated), "a RELATED packet comes in"},
      {"invalid", from_wire & space.states(ConnState::kInvalid | ConnState::kUntracked),
       "an INVALID or UNTRACKED packet comes in"},
      {"namespaces", (from_wire & space.states(ConnState::kNew)) - m.passes(Hook::kInput),
       "a packet comes in that opens a flow, and no namespace's service is granted"},
  };
}

std::vector<Claim> forward_claims(const Meaning& m, const PacketSpace& space) {
  return {
      {"related", space.states(ConnState::kRelated), "a RELATED packet is forwarded"},
      {"invalid", space.states(ConnState::kInvalid | ConnState::kUntracked),
       "an INVALID or UNTRACKED packet is forwarded"},
      {"namespaces", space.states(ConnState::kNew | ConnState::kEstablished) - m.passes(Hook::kForward),
       "a packet is forwarded that is none of an internet namespace's with the outside"},
  };
}

std::string_view ipv6_fact(Hook hook) {
  switch (hook) {
    case Hook::kOutput: return "an IPv6 packet leaves that no service between ::1 and ::1 grants";
    case Hook::kInput: return "an IPv6 packet comes in that no service between ::1 and ::1 grants";
    case Hook::kForward: return "an IPv6 packet is forwarded";
  }
  return "";
}

}  // namespace

std::vector<Claim> claims(const Meaning& meaning, const PacketSpace& space, Hook hook) {
  if (space.family() == Family::kIpv6) return {{"ipv6", ~meaning.passes(hook), ipv6_fact(hook)}};
  switch (hook) {
    case Hook::kOutput: return output_claims(meaning, space);
    case Hook::kInput: return input_claims(meaning, space);
    case Hook::kForward: return forward_claims(meaning, space);
  }
  return {};
}

}  // namespace tails::proof
