#pragma once

#include <cstdint>
#include <vector>

#include "net/flow_model.h"
#include "net/interface_name.h"
#include "net/owner_tag.h"
#include "net/packet.h"
#include "net/wire.h"

namespace tails::fastpath {

using flow_model::Side;

/// Where a frame says whose it is.
enum class OwnerSource : uint8_t {
  kNone,  ///< Nowhere: every packet is nobody's.
  kDscp,  ///< The six DiffServ bits (`apply --tag-owners dscp` writes them).
  kVlan,  ///< The number of its 802.1Q tag, 1..63; untagged is nobody's.
};

/// How a rule set looks from the wire in front of the machine that it filters.
///
/// A packet from the inside is OUTPUT by `interface`, or, tagged as a guest's, FORWARD from that guest's interface and
/// address. A packet from the outside is INPUT by `interface`, or FORWARD to the guest whose flow it answers.
/// Loopback has no place here.
struct WireView {
  InterfaceName interface = *InterfaceName::make("eth0");  ///< The machine's, as its rules name it. Never "lo".
  OwnerSource owner_source = OwnerSource::kDscp;
  std::vector<OwnerTag> owners;  ///< Each tag once.
  bool pass_arp = true;          ///< [wire] pass: what has no owner but must pass.
  bool pass_dhcp = true;
};

/// What the state machine says of a packet, as an index of tables.
enum class StateIndex : uint8_t { kNew, kEstablished, kReply, kInvalid, kRelated, kRelatedReply };
inline constexpr unsigned kStateCount = 6;

constexpr StateIndex state_index(ConnState state, Direction direction) {
  const bool reply = direction == Direction::kReply;
  switch (state) {
    case ConnState::kNew: return StateIndex::kNew;
    case ConnState::kEstablished: return reply ? StateIndex::kReply : StateIndex::kEstablished;
    case ConnState::kRelated: return reply ? StateIndex::kRelatedReply : StateIndex::kRelated;
    case ConnState::kInvalid:
    case ConnState::kUntracked: break;
  }
  return StateIndex::kInvalid;
}
constexpr ConnState conn_state(StateIndex index) {
  switch (index) {
    case StateIndex::kNew: return ConnState::kNew;
    case StateIndex::kEstablished:
    case StateIndex::kReply: return ConnState::kEstablished;
    case StateIndex::kRelated:
    case StateIndex::kRelatedReply: return ConnState::kRelated;
    case StateIndex::kInvalid: break;
  }
  return ConnState::kInvalid;
}
constexpr Direction direction_of(StateIndex index) {
  return index == StateIndex::kReply || index == StateIndex::kRelatedReply ? Direction::kReply : Direction::kOriginal;
}

/// A DHCP client's message from the inside, or a server's from the outside (RFC 2131 section 4.1).
constexpr bool is_dhcp(Side from, const wire::Ipv4& ip) {
  constexpr Port kServer = 67, kClient = 68;
  const bool out = from == Side::kInside;
  return ip.protocol == protocol::kUdp && ip.source_port == (out ? kClient : kServer) &&
         ip.destination_port == (out ? kServer : kClient);
}

/// The packet as the rule set of the machine sees it. `owner` is a tag of `view` or 0; from the outside only a guest's
/// counts. `seen` holds addresses, protocol, ports, flags, ICMP type and code, state and direction; the rest is filled
/// in.
Packet as_machine_sees(const WireView& view, Side from, uint8_t owner, const Packet& seen);

}  // namespace tails::fastpath
