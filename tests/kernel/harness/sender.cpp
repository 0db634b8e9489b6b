#include "tests/kernel/harness/sender.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::testbed {
namespace {

/// Whether conntrack takes it for an error about another packet.
bool is_icmp_error(const Packet& packet) {
  if (!packet.is_icmp()) return false;
  if (packet.family() == Family::kIpv6) return packet.icmp_type < 128;
  const uint8_t type = packet.icmp_type;
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/// A UDP packet that the other end of an ICMP error could have sent, and that the error then quotes.
Packet quoted_by(const Packet& error) {
  Packet quoted;
  quoted.protocol = protocol::kUdp;
  quoted.source = error.destination;
  quoted.destination = error.source;
  quoted.source_port = 40001;
  quoted.destination_port = 40002;
  return quoted;
}

FlowEntry flow_of(const Packet& packet, bool is_reply) {
  FlowEntry flow;
  flow.protocol = packet.protocol;
  flow.source = {packet.source, packet.source_port};
  flow.destination = {packet.destination, packet.destination_port};
  if (is_reply) std::swap(flow.source, flow.destination);
  return flow;
}

/// Makes the entry; one that is already there serves as well.
Result<void> ensure_flow(const FlowEntry& flow) {
  auto inserted = insert_flow(flow);
  if (!inserted && inserted.error().system_errno == EEXIST) return {};
  return inserted;
}

}  // namespace

Result<Sender> Sender::start(const Testbed& bed) {
  Sender sender(bed);
  std::map<const NetworkNamespace*, Wire*> watched;
  for (const Testbed::Cable& cable : bed.cables) {
    const NetworkNamespace& far_side = bed.far_side(cable);
    if (!watched.contains(&far_side)) {
      auto wire = Wire::watch(far_side);
      if (!wire) return tl::unexpected(wire.error());
      watched[&far_side] = sender.wires_.emplace_back(std::make_unique<Wire>(std::move(*wire))).get();
    }
    sender.far_ends_[cable.near] = {watched.at(&far_side), cable.far};
  }
  auto socketless = SocketlessSender::start(bed, *watched.at(&bed.outside));
  if (!socketless) return tl::unexpected(socketless.error());
  sender.socketless_ = std::make_unique<SocketlessSender>(std::move(*socketless));
  const Inside inside(bed.host);
  // The sequence numbers of our TCP packets are made up.
  if (auto set = set_sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", "1"); !set) return tl::unexpected(set.error());
  return sender;
}

Result<Details> Sender::prepare_related(const Packet& packet) {
  if (packet.protocol == protocol::kTcp || packet.protocol == protocol::kUdp) {
    if (auto expected = expect_packet(packet); !expected) return tl::unexpected(expected.error());
    return Details{};
  }
  if (!is_icmp_error(packet)) return Details{};  // nothing else is ever RELATED
  Packet quoted = quoted_by(packet);
  // An error about the flow's own packets goes in the reply's direction.
  auto made = ensure_flow(flow_of(quoted, packet.direction == Direction::kOriginal));
  if (!made) return tl::unexpected(made.error());
  return Details{.payload = compose(quoted)};
}

Result<Details> Sender::prepare(const Packet& packet) {
  const bool is_reply = packet.direction == Direction::kReply;
  switch (packet.state) {
    case ConnState::kEstablished: {
      FlowEntry flow = flow_of(packet, is_reply);
      if (!is_reply) flow.nat = packet.recorded_nat;
      // Both open at once: else no SYN comes back in a flow that conntrack goes on with.
      const bool is_syn = (packet.tcp_flags & (tcp_flag::kSyn | tcp_flag::kAck)) == tcp_flag::kSyn;
      flow.has_reply = !(is_reply && packet.protocol == protocol::kTcp && is_syn);
      if (auto made = ensure_flow(flow); !made) return tl::unexpected(made.error());
      Details details;
      if (packet.is_icmp()) details.sequence = 0x10001;  // the identifier of the entry's echo
      return details;
    }
    case ConnState::kRelated: return prepare_related(packet);
    case ConnState::kInvalid: {
      Details details;
      details.lies_about_length = true;
      if (is_icmp_error(packet)) details.payload = compose(quoted_by(packet));
      return details;
    }
    case ConnState::kNew:
      if (packet.recorded_nat) {  // Not the first of its flow, and no answer came.
        FlowEntry flow = flow_of(packet, false);
        flow.nat = packet.recorded_nat;
        flow.has_reply = false;
        if (auto made = ensure_flow(flow); !made) return tl::unexpected(made.error());
      }
      return Details{};
    case ConnState::kUntracked: return Details{};
  }
  return Details{};
}

Result<int> Sender::send(const Packet& packet) {
  const Inside inside(bed_->host);
  auto details = prepare(packet);
  if (!details) return tl::unexpected(details.error());
  details->ip_id = next_ip_id_ = static_cast<uint16_t>(next_ip_id_ % 65535 + 1);  // 0: the kernel would choose

  Result<void> put;
  if (packet.hook != Hook::kOutput) {
    put = inject(packet.in, compose(packet, *details));
  } else if (!packet.uid) {
    put = socketless_->send(compose(packet, *details), packet.out.empty() ? *InterfaceName::make("eth0") : packet.out);
  } else {
    const SocketOwner owner(*packet.uid, packet.gid.value_or(Gid{packet.uid->value}));
    return send_raw(packet, *details, {.device = packet.out, .from = {}, .mark = packet.mark});
  }
  if (!put) return tl::unexpected(put.error());
  return 0;
}

Result<std::vector<Frame>> Sender::drain_cables() {
  std::vector<Frame> all;
  for (const auto& wire : wires_) {
    auto frames = wire->drain();
    if (!frames) return tl::unexpected(frames.error());
    for (Frame& frame : *frames) {
      for (const auto& [near, far] : far_ends_) {
        if (far.wire != wire.get() || far.name != frame.interface) continue;
        all.push_back({near, std::move(frame.bytes)});
        break;
      }
    }
  }
  return all;
}

Result<void> Sender::inject(const InterfaceName& host_interface, const Bytes& packet) {
  if (host_interface.is_loopback()) {
    auto wire = Wire::watch(bed_->host);
    if (!wire) return tl::unexpected(wire.error());
    return wire->inject(host_interface, packet);
  }
  const auto far = far_ends_.find(host_interface);
  if (far == far_ends_.end()) {
    return fail(ErrorKind::kUsage, std::string(host_interface.view()) + " has no cable");
  }
  return far->second.wire->inject(far->second.name, packet);
}

}  // namespace tails::testbed
