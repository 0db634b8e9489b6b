#include "conntrack/wire.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <array>
#include <cassert>
#include <cstdlib>

#include "net/netlink.h"

namespace tails::conntrack {
namespace {

using netlink::Attribute;
using netlink::Attributes;
using netlink::message_payload;

constexpr uint16_t message_type(int message) { return static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | message); }

// Bits of CTA_FILTER_ORIG_FLAGS. The kernel keeps the list in net/netfilter/nf_internals.h, outside its API
// headers; libnetfilter_conntrack has its own copy too.
namespace filter_flag {
constexpr uint32_t kSourceAddress = 1U << 0;
constexpr uint32_t kDestinationAddress = 1U << 1;
constexpr uint32_t kProtocol = 1U << 3;
}  // namespace filter_flag

// ---- reading ----

bool read_addresses(const Attribute& nest, Family family, FlowTuple& tuple) {
  bool has_source = false;
  bool has_destination = false;
  const size_t bytes = address_bits(family) / 8;
  const uint16_t source = family == Family::kIpv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC;
  const uint16_t destination = family == Family::kIpv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST;
  for (const Attribute attribute : Attributes(nest)) {
    if (attribute.payload().size() < bytes) continue;
    if (attribute.type() == source) {
      tuple.source.address = IpAddress::from_wire(family, attribute.payload().data());
      has_source = true;
    } else if (attribute.type() == destination) {
      tuple.destination.address = IpAddress::from_wire(family, attribute.payload().data());
      has_destination = true;
    }
  }
  return has_source && has_destination;
}

bool read_protocol(const Attribute& nest, FlowTuple& tuple) {
  bool has_number = false;
  for (const Attribute attribute : Attributes(nest)) {
    switch (attribute.type()) {
      case CTA_PROTO_NUM:
        tuple.protocol = attribute.u8();
        has_number = true;
        break;
      case CTA_PROTO_SRC_PORT: tuple.source.port = attribute.be16(); break;
      case CTA_PROTO_DST_PORT: tuple.destination.port = attribute.be16(); break;
      case CTA_PROTO_ICMP_ID:
      case CTA_PROTO_ICMPV6_ID: tuple.icmp_id = attribute.be16(); break;
      case CTA_PROTO_ICMP_TYPE:
      case CTA_PROTO_ICMPV6_TYPE: tuple.icmp_type = attribute.u8(); break;
      case CTA_PROTO_ICMP_CODE:
      case CTA_PROTO_ICMPV6_CODE: tuple.icmp_code = attribute.u8(); break;
      default: break;
    }
  }
  return has_number;
}

bool read_tuple(const Attribute& nest, Family family, Zone::Side side, FlowTuple& tuple, Zone& zone) {
  bool has_addresses = false;
  bool has_protocol = false;
  for (const Attribute attribute : Attributes(nest)) {
    switch (attribute.type()) {
      case CTA_TUPLE_IP: has_addresses = read_addresses(attribute, family, tuple); break;
      case CTA_TUPLE_PROTO: has_protocol = read_protocol(attribute, tuple); break;
      case CTA_TUPLE_ZONE: zone = {attribute.be16(), side}; break;
      default: break;
    }
  }
  return has_addresses && has_protocol;
}

std::optional<TcpState> read_tcp_state(const Attribute& protocol_info) {
  for (const Attribute protocol : Attributes(protocol_info)) {
    if (protocol.type() != CTA_PROTOINFO_TCP) continue;
    for (const Attribute attribute : Attributes(protocol)) {
      if (attribute.type() == CTA_PROTOINFO_TCP_STATE) return TcpState{attribute.u8()};
    }
  }
  return std::nullopt;
}

// ---- writing ----

// Nests end in front of what is added next; libmnl computes their length from the message's.
class Nest {
 public:
  Nest(nlmsghdr* message, uint16_t type) : message_(message), start_(mnl_attr_nest_start(message, type)) {}
  Nest(const Nest&) = delete;
  Nest& operator=(const Nest&) = delete;
  ~Nest() { mnl_attr_nest_end(message_, start_); }

 private:
  nlmsghdr* message_;
  nlattr* start_;
};

void put_be16(nlmsghdr* message, uint16_t type, uint16_t value) { mnl_attr_put_u16(message, type, htobe16(value)); }
void put_be32(nlmsghdr* message, uint16_t type, uint32_t value) { mnl_attr_put_u32(message, type, htobe32(value)); }

void put_address(nlmsghdr* message, const IpAddress& address, bool is_source) {
  std::array<std::byte, 16> wire{};
  address.to_wire(wire.data());
  const bool v4 = address.family == Family::kIpv4;
  const uint16_t type = v4 ? (is_source ? CTA_IP_V4_SRC : CTA_IP_V4_DST) : (is_source ? CTA_IP_V6_SRC : CTA_IP_V6_DST);
  mnl_attr_put(message, type, v4 ? 4 : 16, wire.data());
}

void put_protocol(nlmsghdr* message, const FlowTuple& tuple) {
  const Nest nest(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, tuple.protocol);
  if (tuple.is_icmp()) {
    const bool v4 = tuple.family() == Family::kIpv4;
    mnl_attr_put_u8(message, v4 ? CTA_PROTO_ICMP_TYPE : CTA_PROTO_ICMPV6_TYPE, tuple.icmp_type);
    mnl_attr_put_u8(message, v4 ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, tuple.icmp_code);
    put_be16(message, v4 ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID, tuple.icmp_id);
  } else {
    put_be16(message, CTA_PROTO_SRC_PORT, tuple.source.port);
    put_be16(message, CTA_PROTO_DST_PORT, tuple.destination.port);
  }
}

void put_tuple(nlmsghdr* message, uint16_t type, const FlowTuple& tuple, std::optional<uint16_t> zone) {
  const Nest nest(message, type);
  {
    const Nest addresses(message, CTA_TUPLE_IP);
    put_address(message, tuple.source.address, true);
    put_address(message, tuple.destination.address, false);
  }
  put_protocol(message, tuple);
  if (zone) put_be16(message, CTA_TUPLE_ZONE, *zone);
}

// What the kernel compares: one address, and only of IPv4. For IPv6 it takes "differs" for "is equal": up to 6.18 at
// least, ctnetlink_filter_match_tuple negates ipv6_addr_cmp, and a flush deletes all flows but the named one's.
std::optional<IpAddress> one_address(const std::optional<Prefix>& prefix) {
  if (!prefix || prefix->family() != Family::kIpv4 || prefix->length() != 32) return std::nullopt;
  return prefix->address();
}

std::optional<Family> family_of(const FlowFilter& filter) {
  if (filter.to) return filter.to->family();
  if (filter.from) return filter.from->family();
  return filter.family;
}

void put_mark(nlmsghdr* message, const MarkTest& mark) {
  put_be32(message, CTA_MARK, mark.value & mark.mask);
  put_be32(message, CTA_MARK_MASK, mark.mask);
}

// The tuple comes with the filter, see flush_request.
void put_tuple_filter(nlmsghdr* message, const FlowFilter& filter) {
  const auto source = one_address(filter.from);
  const auto destination = one_address(filter.to);
  uint32_t flags = 0;
  if (source) flags |= filter_flag::kSourceAddress;
  if (destination) flags |= filter_flag::kDestinationAddress;
  if (filter.protocol) flags |= filter_flag::kProtocol;
  {
    const Nest tuple(message, CTA_TUPLE_ORIG);
    if (source || destination) {
      const Nest addresses(message, CTA_TUPLE_IP);
      if (source) put_address(message, *source, true);
      if (destination) put_address(message, *destination, false);
    }
    if (filter.protocol) {
      const Nest protocol(message, CTA_TUPLE_PROTO);
      mnl_attr_put_u8(message, CTA_PROTO_NUM, *filter.protocol);
    }
  }
  const Nest nest(message, CTA_FILTER);
  mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, flags);
}

// CTA_MARK in a flush is honoured from Linux 4.0 on ("netfilter: ctnetlink: add support for flush by mark");
// before, the whole table would go.
bool kernel_flushes_by_mark() {
  utsname system{};
  return uname(&system) == 0 && std::strtol(system.release, nullptr, 10) >= 4;
}

}  // namespace

std::optional<Flow> decode_flow(const nlmsghdr& message) {
  const int kind = message.nlmsg_type & 0xFF;
  if (message.nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK || (kind != IPCTNL_MSG_CT_NEW && kind != IPCTNL_MSG_CT_DELETE) ||
      message.nlmsg_len < NLMSG_LENGTH(sizeof(nfgenmsg))) {
    return std::nullopt;
  }
  const auto& header = *static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message));
  if (header.nfgen_family != AF_INET && header.nfgen_family != AF_INET6) return std::nullopt;
  const Family family = header.nfgen_family == AF_INET ? Family::kIpv4 : Family::kIpv6;

  Flow flow;
  bool has_original = false;
  bool has_reply = false;
  for (const Attribute attribute : Attributes(message_payload(message, sizeof(nfgenmsg)))) {
    switch (attribute.type()) {
      case CTA_TUPLE_ORIG:
        has_original = read_tuple(attribute, family, Zone::Side::kOriginal, flow.original, flow.zone);
        break;
      case CTA_TUPLE_REPLY: has_reply = read_tuple(attribute, family, Zone::Side::kReply, flow.reply, flow.zone); break;
      case CTA_STATUS: flow.status = attribute.be32(); break;
      case CTA_ID: flow.id = attribute.be32(); break;
      case CTA_TIMEOUT: flow.timeout_seconds = attribute.be32(); break;
      case CTA_MARK: flow.mark = Mark{attribute.be32()}; break;
      case CTA_ZONE: flow.zone = {attribute.be16(), Zone::Side::kBoth}; break;
      case CTA_PROTOINFO: flow.tcp_state = read_tcp_state(attribute); break;
      default: break;
    }
  }
  if (!has_original || !has_reply) return std::nullopt;
  return flow;
}

namespace {
// Header 16, nfgenmsg 4, tuple (nests 3 x 4, addresses 2 x 20, protocol 8 + 8 + 8, zone 8), zone 8, id 8: under 128.
constexpr size_t kMaxDeleteBytes = 128;
}  // namespace

DeleteBatch::DeleteBatch() : bytes_(kMaxFlows * kMaxDeleteBytes) { starts_.reserve(kMaxFlows); }

void DeleteBatch::add(const Flow& flow) {
  assert(!full());
  nlmsghdr* message = mnl_nlmsg_put_header(bytes_.data() + used_);
  message->nlmsg_type = message_type(IPCTNL_MSG_CT_DELETE);
  message->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = wire_family(flow.original.family());
  header->version = NFNETLINK_V0;
  const bool zone_in_tuple = flow.zone.side == Zone::Side::kOriginal;
  put_tuple(message, CTA_TUPLE_ORIG, flow.original, zone_in_tuple ? std::optional(flow.zone.id) : std::nullopt);
  if (flow.zone.id != 0 && flow.zone.side == Zone::Side::kBoth) put_be16(message, CTA_ZONE, flow.zone.id);
  put_be32(message, CTA_ID, flow.id);
  assert(message->nlmsg_len <= kMaxDeleteBytes);
  starts_.push_back(used_);
  used_ += NLMSG_ALIGN(message->nlmsg_len);
  ++count_;
}

void DeleteBatch::clear() {
  starts_.clear();
  used_ = 0;
  count_ = 0;
}

std::span<const std::byte> DeleteBatch::finish(uint32_t first_sequence) {
  for (const size_t start : starts_) {
    auto& message = *reinterpret_cast<nlmsghdr*>(bytes_.data() + start);
    message.nlmsg_seq = first_sequence++;
    if (start == starts_.back()) message.nlmsg_flags |= NLM_F_ACK;
  }
  return std::span(bytes_).first(used_);
}

Request dump_request(const FlowFilter& filter) {
  Request request(message_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP, sizeof(nfgenmsg));
  if (const auto family = family_of(filter)) request.fixed<nfgenmsg>().nfgen_family = wire_family(*family);
  if (filter.mark) put_mark(&request.header(), *filter.mark);
  // A tuple filter needs the family (ctnetlink_parse_tuple_filter).
  if (family_of(filter) && (one_address(filter.to) || one_address(filter.from) || filter.protocol)) {
    put_tuple_filter(&request.header(), filter);
  }
  return request;
}

std::optional<Request> flush_request(const FlowFilter& filter) {
  const bool is_address = one_address(filter.to).has_value() || one_address(filter.from).has_value();
  const bool all_whole = one_address(filter.to).has_value() == filter.to.has_value() &&
                         one_address(filter.from).has_value() == filter.from.has_value();
  if (!all_whole || filter.zone) return std::nullopt;
  if ((filter.family || filter.protocol) && !is_address) return std::nullopt;
  if (filter.mark && !kernel_flushes_by_mark()) return std::nullopt;

  Request request(message_type(IPCTNL_MSG_CT_DELETE), 0, sizeof(nfgenmsg));
  if (filter.mark) put_mark(&request.header(), *filter.mark);
  if (is_address) {
    request.fixed<nfgenmsg>().nfgen_family = wire_family(*family_of(filter));
    put_tuple_filter(&request.header(), filter);
  }
  return request;
}

Request get_request(const FlowTuple& tuple, const Zone& zone) {
  Request request(message_type(IPCTNL_MSG_CT_GET), 0, sizeof(nfgenmsg));
  request.fixed<nfgenmsg>().nfgen_family = wire_family(tuple.family());
  put_tuple(&request.header(), CTA_TUPLE_ORIG, tuple, std::nullopt);
  if (zone.id != 0) put_be16(&request.header(), CTA_ZONE, zone.id);
  return request;
}

}  // namespace tails::conntrack
