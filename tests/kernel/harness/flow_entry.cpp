#include "tests/kernel/harness/flow_entry.h"

#include <arpa/inet.h>
#include <netinet/ip_icmp.h>

#include <array>
#include <memory>

#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>

#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

struct CloseHandle {
  void operator()(nfct_handle* handle) const { ::nfct_close(handle); }
};
struct DestroyExpectation {
  void operator()(nf_expect* expectation) const { ::nfexp_destroy(expectation); }
};
struct DestroyEntry {
  void operator()(nf_conntrack* entry) const { ::nfct_destroy(entry); }
};
using Handle = std::unique_ptr<nfct_handle, CloseHandle>;
using Entry = std::unique_ptr<nf_conntrack, DestroyEntry>;

Handle open_handle() { return Handle(::nfct_open(CONNTRACK, 0)); }

/// The four attributes of one end's address and port, by direction and family.
struct EndAttributes {
  nf_conntrack_attr v4, v6, port;
};
constexpr EndAttributes kOriginalSource{ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV6_SRC, ATTR_ORIG_PORT_SRC};
constexpr EndAttributes kOriginalDestination{ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST, ATTR_ORIG_PORT_DST};
constexpr EndAttributes kReplySource{ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC, ATTR_REPL_PORT_SRC};

void set_end(nf_conntrack* entry, const EndAttributes& attributes, const Endpoint& end, bool has_ports) {
  std::array<std::byte, 16> wire{};
  end.address.to_wire(wire.data());
  ::nfct_set_attr(entry, end.address.family == Family::kIpv4 ? attributes.v4 : attributes.v6, wire.data());
  if (has_ports) ::nfct_set_attr_u16(entry, attributes.port, htons(end.port));
}

bool has_ports(uint8_t protocol) { return protocol == protocol::kTcp || protocol == protocol::kUdp; }
bool is_icmp(uint8_t protocol) { return protocol == protocol::kIcmp || protocol == protocol::kIcmpv6; }

Entry describe(uint8_t protocol, const Endpoint& source, const Endpoint& destination) {
  Entry entry(::nfct_new());
  if (entry == nullptr) return entry;
  const bool is_v4 = source.address.family == Family::kIpv4;
  const uint8_t family = is_v4 ? AF_INET : AF_INET6;
  ::nfct_set_attr_u8(entry.get(), ATTR_ORIG_L3PROTO, family);
  ::nfct_set_attr_u8(entry.get(), ATTR_ORIG_L4PROTO, protocol);
  set_end(entry.get(), kOriginalSource, source, has_ports(protocol));
  set_end(entry.get(), kOriginalDestination, destination, has_ports(protocol));
  if (is_icmp(protocol)) {
    ::nfct_set_attr_u8(entry.get(), ATTR_ICMP_TYPE, is_v4 ? ICMP_ECHO : 128);
    ::nfct_set_attr_u8(entry.get(), ATTR_ICMP_CODE, 0);
    ::nfct_set_attr_u16(entry.get(), ATTR_ICMP_ID, htons(1));
  }
  return entry;
}

}  // namespace

Result<void> insert_flow(const FlowEntry& flow) {
  const Handle handle = open_handle();
  const Entry entry = describe(flow.protocol, flow.source, flow.destination);
  if (handle == nullptr || entry == nullptr) return system_failure("open conntrack");
  nf_conntrack* raw = entry.get();
  ::nfct_setobjopt(raw, NFCT_SOPT_SETUP_REPLY);
  if (flow.source.address.family == Family::kIpv4) {
    // Also where the destination stays: a flow whose NAT was never settled is treated in ways that real ones are not
    // (its ICMP redirects are dropped in nat, net/netfilter/nf_nat_proto.c).
    const Endpoint destination = flow.nat.value_or(flow.destination);
    ::nfct_set_attr_u32(raw, ATTR_DNAT_IPV4, htonl(destination.address.v4_bits()));
    if (has_ports(flow.protocol)) ::nfct_set_attr_u16(raw, ATTR_DNAT_PORT, htons(destination.port));
  }
  ::nfct_set_attr_u32(raw, ATTR_TIMEOUT, static_cast<uint32_t>(flow.lifetime.count()));
  ::nfct_set_attr_u32(raw, ATTR_STATUS, flow.has_reply ? IPS_SEEN_REPLY | IPS_ASSURED : 0);
  if (flow.protocol == protocol::kTcp) {
    ::nfct_set_attr_u8(raw, ATTR_TCP_STATE, flow.has_reply ? TCP_CONNTRACK_ESTABLISHED : TCP_CONNTRACK_SYN_SENT);
    constexpr uint8_t kLiberal = IP_CT_TCP_FLAG_BE_LIBERAL;  // no window check: the sequence numbers are made up
    for (const auto attribute : {ATTR_TCP_FLAGS_ORIG, ATTR_TCP_FLAGS_REPL, ATTR_TCP_MASK_ORIG, ATTR_TCP_MASK_REPL}) {
      ::nfct_set_attr_u8(raw, attribute, kLiberal);
    }
  }
  if (::nfct_query(handle.get(), NFCT_Q_CREATE, raw) != 0) return system_failure("make a conntrack entry");
  return {};
}

namespace {

int take_reply_source(nf_conntrack_msg_type, nf_conntrack* entry, void* out) {
  Endpoint& source = *static_cast<Endpoint*>(out);
  const Family family = ::nfct_get_attr_u8(entry, ATTR_L3PROTO) == AF_INET ? Family::kIpv4 : Family::kIpv6;
  source = {
      IpAddress::from_wire(family, ::nfct_get_attr(entry, family == Family::kIpv4 ? kReplySource.v4 : kReplySource.v6)),
      ntohs(::nfct_get_attr_u16(entry, kReplySource.port))};
  return NFCT_CB_STOP;
}

}  // namespace

std::optional<Endpoint> nat_of_flow(const Packet& packet) {
  const Handle handle = open_handle();
  const Endpoint destination{packet.destination, packet.destination_port};
  const Entry entry = describe(packet.protocol, {packet.source, packet.source_port}, destination);
  if (handle == nullptr || entry == nullptr) return std::nullopt;
  Endpoint reply_source = destination;
  ::nfct_callback_register(handle.get(), NFCT_T_ALL, &take_reply_source, &reply_source);
  if (::nfct_query(handle.get(), NFCT_Q_GET, entry.get()) != 0 || reply_source == destination) return std::nullopt;
  return reply_source;
}

Result<void> expect_packet(const Packet& packet) {
  // A control connection between the same ends.
  const Endpoint control_from{packet.source, 50021}, control_to{packet.destination, 21};
  const Handle flows = open_handle();
  const Entry control = describe(protocol::kTcp, control_from, control_to);
  if (flows == nullptr || control == nullptr) return system_failure("open conntrack");
  ::nfct_setobjopt(control.get(), NFCT_SOPT_SETUP_REPLY);
  ::nfct_set_attr_u32(control.get(), ATTR_TIMEOUT, 300);
  ::nfct_set_attr_u32(control.get(), ATTR_STATUS, IPS_SEEN_REPLY | IPS_ASSURED);
  ::nfct_set_attr_u8(control.get(), ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
  ::nfct_set_attr(control.get(), ATTR_HELPER_NAME, "ftp");
  if (::nfct_query(flows.get(), NFCT_Q_CREATE, control.get()) != 0 && errno != EEXIST) {
    return system_failure("make a flow with the FTP helper");
  }

  const Handle handle(::nfct_open(EXPECT, 0));
  const std::unique_ptr<nf_expect, DestroyExpectation> expectation(::nfexp_new());
  const Entry master = describe(protocol::kTcp, control_from, control_to);
  const Entry expected =
      describe(packet.protocol, {packet.source, packet.source_port}, {packet.destination, packet.destination_port});
  Endpoint every_bit{packet.source, 0xFFFF};
  every_bit.address.low = packet.family() == Family::kIpv4 ? 0xFFFFFFFF : ~uint64_t{0};
  if (packet.family() == Family::kIpv6) every_bit.address.high = ~uint64_t{0};
  const Entry mask = describe(packet.protocol, every_bit, every_bit);
  if (handle == nullptr || expectation == nullptr || !master || !expected || !mask) {
    return system_failure("open conntrack");
  }
  ::nfexp_set_attr(expectation.get(), ATTR_EXP_MASTER, master.get());
  ::nfexp_set_attr(expectation.get(), ATTR_EXP_EXPECTED, expected.get());
  ::nfexp_set_attr(expectation.get(), ATTR_EXP_MASK, mask.get());
  ::nfexp_set_attr_u32(expectation.get(), ATTR_EXP_TIMEOUT, 300);
  if (::nfexp_query(handle.get(), NFCT_Q_CREATE, expectation.get()) != 0) return system_failure("expect a packet");
  return {};
}

Result<void> flush_flows() {
  const Handle handle = open_handle();
  for (const uint32_t family : {uint32_t{AF_INET}, uint32_t{AF_INET6}}) {
    if (handle == nullptr || ::nfct_query(handle.get(), NFCT_Q_FLUSH, &family) != 0) {
      return system_failure("flush conntrack");
    }
  }
  return {};
}

}  // namespace tails::testbed
