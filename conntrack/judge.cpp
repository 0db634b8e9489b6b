#include "conntrack/judge.h"

#include <algorithm>
#include <utility>

namespace tails::conntrack {
namespace {

constexpr uint32_t kExpected = 1;         // IPS_EXPECTED
constexpr size_t kMaxAnswers = 1U << 17;  // About 16 MiB; far more classes than a real rule set has.

bool is_unspecified(const IpAddress& address) { return address.high == 0 && address.low == 0; }

Judgement judgement_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return Judgement::kAllowed;
    case Verdict::kReject:
    case Verdict::kDrop: return Judgement::kRevoked;
    case Verdict::kUnknown: return Judgement::kUnknown;
  }
  return Judgement::kUnknown;
}

bool is_refused(Verdict verdict) { return judgement_of(verdict) == Judgement::kRevoked; }

// Of several that may each be true.
Judgement either(Judgement a, Judgement b) { return a == b ? a : Judgement::kUnknown; }

// Of several that must all pass.
Judgement both(Judgement a, Judgement b) {
  if (a == Judgement::kRevoked || b == Judgement::kRevoked) return Judgement::kRevoked;
  return either(a, b);
}

Packet first_packet(const Flow& flow) {
  Packet packet;
  packet.protocol = flow.original.protocol;
  packet.source = flow.original.source.address;
  packet.destination = flow.original.destination.address;
  packet.source_port = flow.original.source.port;
  packet.destination_port = flow.original.destination.port;
  packet.icmp_type = flow.original.icmp_type;
  packet.icmp_code = flow.original.icmp_code;
  if (packet.protocol == protocol::kTcp) packet.tcp_flags = tcp_flag::kSyn;
  packet.state = (flow.status & kExpected) != 0 ? ConnState::kRelated : ConnState::kNew;
  packet.connmark = flow.mark;
  return packet;
}

}  // namespace

std::string_view to_string(Judgement judgement) {
  switch (judgement) {
    case Judgement::kAllowed: return "allowed";
    case Judgement::kRevoked: return "revoked";
    case Judgement::kUnknown: return "unknown";
  }
  return "unknown";
}

Judge::Judge(const ruleset::RuleSet& rules, const Routing& routing)
    : routing_(routing), evaluator_(rules), cuts_(ruleset::cuts_of(rules)) {
  const std::vector<IpAddress> ours = routing.boundaries();
  cuts_.addresses.insert(cuts_.addresses.end(), ours.begin(), ours.end());
  // So that no class spans both families.
  cuts_.addresses.push_back(IpAddress::v6(0, 0));
  std::ranges::sort(cuts_.addresses);
  cuts_.addresses.erase(std::unique(cuts_.addresses.begin(), cuts_.addresses.end()), cuts_.addresses.end());

  local_classes_.push_back(routing.is_local(IpAddress::v4(0)));
  for (const IpAddress& first : cuts_.addresses) local_classes_.push_back(routing.is_local(first));
}

bool Judge::is_ours(const IpAddress& address) const {
  // A machine that has no address yet sends from 0.0.0.0 (DHCP) or :: (neighbour discovery).
  return local_classes_[ruleset::class_of(cuts_.addresses, address)] || is_unspecified(address);
}

size_t Judge::ClassHash::operator()(const Class& c) const {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
  uint64_t hash = uint64_t{c.source} << 40 ^ uint64_t { c.destination } << 20 ^ c.real_destination;
  hash = (hash ^ hash >> 29) * kOdd;
  hash ^= uint64_t{c.source_port} << 48 ^ uint64_t { c.destination_port } << 32 ^ uint64_t { c.real_port } << 16 ^
          c.protocol;
  hash = (hash ^ hash >> 31) * kOdd;
  hash ^= uint64_t{c.owner ? c.owner->value : kInvalidId} << 32 ^ c.bound_interface ^ uint64_t { c.connmark } << 7;
  hash = (hash ^ hash >> 30) * kOdd;
  hash ^= uint64_t{c.icmp_type} << 24 ^ uint64_t { c.icmp_code } << 16 ^ uint64_t { c.moves_address } << 3 ^
          uint64_t { c.moves_port } << 2 ^ uint64_t { c.has_foreign_source } << 1 ^ uint64_t { c.is_expected };
  hash *= kOdd;
  return hash ^ hash >> 32;
}

Judge::Class Judge::class_for(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const {
  const auto address = [&](const IpAddress& a) { return static_cast<uint32_t>(ruleset::class_of(cuts_.addresses, a)); };
  const auto port = [&](const std::vector<uint32_t>& cuts, Port p) {
    return static_cast<uint16_t>(ruleset::class_of(cuts, p));
  };
  const Endpoint& destination = flow.original.destination;
  const Endpoint& real = flow.real_destination();
  Class c;
  c.owner = owner;
  c.bound_interface = bound_interface;
  c.source = address(flow.original.source.address);
  c.destination = address(destination.address);
  c.moves_address = real.address != destination.address;
  c.real_destination = c.moves_address ? address(real.address) : c.destination;
  c.source_port = port(cuts_.source_ports, flow.original.source.port);
  c.destination_port = port(cuts_.destination_ports, destination.port);
  c.moves_port = real.port != destination.port;
  c.real_port = c.moves_port ? port(cuts_.destination_ports, real.port) : c.destination_port;
  c.connmark = cuts_.reads_connmark ? flow.mark.value : 0;
  c.protocol = flow.original.protocol;
  c.icmp_type = flow.original.icmp_type;
  c.icmp_code = flow.original.icmp_code;
  c.has_foreign_source =
      flow.real_source().address != flow.original.source.address && !is_ours(flow.real_source().address);
  c.is_expected = (flow.status & kExpected) != 0;
  return c;
}

Judge::Answer Judge::answer(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) {
  if (!cuts_.has_prefixes_only) return work_out(flow, owner, bound_interface);
  const Class c = class_for(flow, owner, bound_interface);
  const auto known = answers_.find(c);
  if (known != answers_.end()) return known->second;
  if (answers_.size() >= kMaxAnswers) answers_.clear();
  return answers_.emplace(c, work_out(flow, owner, bound_interface)).first->second;
}

Judgement Judge::for_packet(Packet packet, const Endpoint& real_destination) const {
  if (!cuts_.is_nat_certain) {
    packet.recorded_nat = real_destination;
    return judgement_of(evaluator_.evaluate(packet).verdict);
  }
  const ruleset::Evaluation evaluation = evaluator_.evaluate(packet);
  const Endpoint original{packet.destination, packet.destination_port};
  const Endpoint expected = evaluation.redirected_to.value_or(original);
  // REDIRECT of what comes in goes to an address of the interface, which a packet does not tell.
  const bool same = packet.hook == Hook::kInput && expected != original ? expected.port == real_destination.port
                                                                        : expected == real_destination;
  return same ? judgement_of(evaluation.verdict) : Judgement::kRevoked;
}

Judgement Judge::for_owner(Packet packet, const Endpoint& real_destination, std::optional<Uid> owner) const {
  std::optional<Judgement> all;
  const auto add = [&](std::optional<Uid> uid, std::optional<Gid> gid) {
    packet.uid = uid;
    packet.gid = gid;
    const Judgement one = for_packet(packet, real_destination);
    all = all ? either(*all, one) : one;
  };
  if (!owner) add(std::nullopt, std::nullopt);
  const std::vector<uint32_t> known = owner ? std::vector{owner->value} : std::vector<uint32_t>{};
  for (const uint32_t uid : owner ? known : cuts_.uids) {
    // sock_diag tells the user and not the group.
    for (const uint32_t gid : cuts_.gids) {
      if (all != Judgement::kUnknown) add(Uid{uid}, Gid{gid});
    }
  }
  return *all;
}

Packet Judge::place(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const {
  const IpAddress& source = flow.original.source.address;
  const IpAddress& destination = flow.original.destination.address;
  const IpAddress& real_destination = flow.real_destination().address;
  Packet packet = first_packet(flow);
  packet.source_type = routing_.type(source);
  packet.destination_type = routing_.type(destination);
  if (is_ours(source)) {
    packet.hook = Hook::kOutput;
    packet.out = routing_.route(destination, source, owner, bound_interface).interface;
    return packet;
  }
  packet.in = routing_.route(source, source, std::nullopt, 0).interface;
  packet.hook = routing_.type(real_destination) == AddressType::kUnicast ? Hook::kForward : Hook::kInput;
  if (packet.hook == Hook::kForward) {
    packet.out = routing_.route(real_destination, source, std::nullopt, 0).interface;
  }
  return packet;
}

Packet Judge::question(const Flow& flow, std::optional<Uid> owner) const {
  Packet packet = place(flow, owner, 0);
  if (packet.hook == Hook::kOutput && owner) {
    packet.uid = owner;
    packet.gid = Gid{0};
  }
  return packet;
}

Judge::Answer Judge::work_out(const Flow& flow, std::optional<Uid> owner, uint32_t bound_interface) const {
  const Endpoint& real = flow.real_destination();
  const Packet packet = place(flow, owner, bound_interface);
  Answer answer;
  answer.hook = packet.hook;
  // The address that NAT writes into what leaves must still be ours.
  answer.is_dead = flow.real_source().address != flow.original.source.address && !is_ours(flow.real_source().address);

  switch (packet.hook) {
    case Hook::kOutput:
      answer.judgement = for_owner(packet, real, owner);
      if (routing_.is_local(real.address)) {
        Packet arriving = packet;
        arriving.hook = Hook::kInput;
        arriving.in = kLoopbackInterface;
        arriving.out = {};
        arriving.recorded_nat = real;
        answer.judgement = both(answer.judgement, judgement_of(evaluator_.evaluate(arriving).verdict));
      }
      break;
    case Hook::kInput: answer.judgement = for_packet(packet, real); break;
    case Hook::kForward:
      answer.judgement = for_packet(packet, real);
      // Neither end is here, and yet the kernel tracked it: it was forwarded, or one end was ours and is gone.
      // Forwarded is only what one interface takes in, with forwarding on, and another gives out.
      if (packet.in.empty() || packet.out.empty() || packet.in == packet.out ||
          !routing_.forwards(packet.in, packet.family())) {
        answer.is_dead = true;
      }
      break;
  }
  return answer;
}

Opinion Judge::judge(const Flow& flow, const SocketTable& sockets) {
  senders_.clear();
  sockets.senders(flow.original, senders_);
  Opinion opinion;
  const auto take = [&](const Answer& answer, bool is_first) {
    opinion.judgement = is_first ? answer.judgement : both(opinion.judgement, answer.judgement);
    opinion.hook = answer.hook;
    opinion.is_dead = answer.is_dead;
  };
  // An owner counts only for what starts here; a port in use says nothing of someone else's flow.
  if (senders_.empty() || !is_ours(flow.original.source.address)) {
    take(answer(flow, std::nullopt, 0), true);
    return opinion;
  }
  for (const Socket* socket : senders_) {
    take(answer(flow, socket->uid, socket->bound_interface), socket == senders_.front());
    if (!opinion.owner) opinion.owner = socket->uid;
  }
  return opinion;
}

bool Judge::is_cut_off(const Socket& socket) const {
  Packet sent;
  sent.protocol = socket.protocol;
  sent.source = socket.local.address;
  sent.destination = socket.remote.address;
  sent.source_port = socket.local.port;
  sent.destination_port = socket.remote.port;
  sent.tcp_flags = tcp_flag::kAck;
  sent.source_type = routing_.type(sent.source);
  sent.destination_type = routing_.type(sent.destination);
  sent.out = routing_.route(sent.destination, sent.source, socket.uid, socket.bound_interface).interface;
  sent.uid = socket.uid;
  if (socket.uid) sent.gid = Gid{0};

  Packet received = sent;
  received.hook = Hook::kInput;
  std::swap(received.source, received.destination);
  std::swap(received.source_port, received.destination_port);
  std::swap(received.source_type, received.destination_type);
  received.in = sent.out;
  received.out = {};
  received.uid.reset();
  received.gid.reset();

  // What conntrack calls a packet in the middle of a flow that it does not know, by nf_conntrack_tcp_loose.
  for (const ConnState state : {ConnState::kNew, ConnState::kInvalid}) {
    sent.state = received.state = state;
    if (!is_refused(evaluator_.evaluate(sent).verdict)) return false;
    // A peer on this machine sends by OUTPUT as well, and has a socket that is looked at in its turn.
    if (!is_ours(socket.remote.address) && !is_refused(evaluator_.evaluate(received).verdict)) return false;
  }
  return true;
}

}  // namespace tails::conntrack
