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
constexpr EndAttributes kReplyDestination{ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_DST, ATTR_REPL_PORT_DST};

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
  const Endpoint destination = flow.nat.value_or(flow.destination);
  ::nfct_set_attr_u8(raw, ATTR_REPL_L3PROTO, flow.source.address.family == Family::kIpv4 ? AF_INET : AF_INET6);
  ::nfct_set_attr_u8(raw, ATTR_REPL_L4PROTO, flow.protocol);
  set_end(raw, kReplySource, flow.destination, has_ports(flow.protocol));
  set_end(raw, kReplyDestination, flow.source, has_ports(flow.protocol));
  if (flow.nat) {  // the kernel computes the reply's tuple from it
    ::nfct_set_attr_u32(raw, ATTR_DNAT_IPV4, htonl(destination.address.v4_bits()));
    ::nfct_set_attr_u16(raw, ATTR_DNAT_PORT, htons(destination.port));
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
