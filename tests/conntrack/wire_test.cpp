#include "conntrack/wire.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>

#include "net/netlink.h"

namespace tails::conntrack {
namespace {

using netlink::Attribute;
using netlink::Attributes;
using netlink::for_each_message;
using netlink::message_payload;

// libnetfilter_conntrack is the oracle: what it writes we must read, and what we write it must read.
using Entry = std::unique_ptr<nf_conntrack, decltype(&nfct_destroy)>;
Entry new_entry() { return {nfct_new(), &nfct_destroy}; }

constexpr uint16_t kNew = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;

struct Message {
  alignas(nlmsghdr) std::array<char, 1024> bytes{};
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes.data()); }
};

Message message_of(const nf_conntrack* entry, Family family) {
  Message message;
  nlmsghdr* header = mnl_nlmsg_put_header(message.bytes.data());
  header->nlmsg_type = kNew;
  auto* netfilter = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  netfilter->nfgen_family = family == Family::kIpv4 ? AF_INET : AF_INET6;
  nfct_nlmsg_build(header, entry);
  return message;
}

class RandomFlows {
 public:
  Flow next() {
    Flow flow;
    const Family family = one_in(2) ? Family::kIpv4 : Family::kIpv6;
    constexpr std::array<uint8_t, 6> kProtocols = {protocol::kTcp,  protocol::kUdp,     protocol::kIcmp,
                                                   protocol::kSctp, protocol::kUdplite, protocol::kDccp};
    uint8_t protocol = kProtocols.at(number(kProtocols.size()));
    if (protocol == protocol::kIcmp && family == Family::kIpv6) protocol = protocol::kIcmpv6;
    flow.original = {protocol, endpoint(family), endpoint(family), 0, 0, 0};
    flow.reply = {protocol, flow.original.destination, flow.original.source, 0, 0, 0};
    if (one_in(3)) flow.reply.source = endpoint(family);
    if (flow.original.is_icmp()) {
      flow.original.source.port = flow.original.destination.port = 0;
      flow.reply.source.port = flow.reply.destination.port = 0;
      flow.original.icmp_id = flow.reply.icmp_id = static_cast<uint16_t>(number(65536));
      flow.original.icmp_type = family == Family::kIpv4 ? 8 : 128;
      flow.reply.icmp_type = family == Family::kIpv4 ? 0 : 129;
      flow.original.icmp_code = flow.reply.icmp_code = static_cast<uint8_t>(number(4));
    }
    flow.status = static_cast<uint32_t>(number(1U << 14)) | IPS_CONFIRMED;  // which the library always sets
    flow.id = static_cast<uint32_t>(engine_());
    flow.timeout_seconds = static_cast<uint32_t>(number(432000));
    flow.mark = Mark{static_cast<uint32_t>(engine_())};
    if (one_in(3)) flow.zone.id = static_cast<uint16_t>(1 + number(65535));
    if (protocol == protocol::kTcp) flow.tcp_state = TcpState{static_cast<uint8_t>(number(10))};
    return flow;
  }

 private:
  uint64_t number(uint64_t below) { return engine_() % below; }
  bool one_in(uint64_t count) { return number(count) == 0; }
  Endpoint endpoint(Family family) {
    const auto port = static_cast<Port>(number(65536));
    if (family == Family::kIpv4) return {IpAddress::v4(static_cast<uint32_t>(engine_())), port};
    return {IpAddress::v6(engine_(), engine_()), port};
  }
  std::mt19937_64 engine_{7};  // NOLINT(cert-msc51-cpp): the same flows in every run.
};

void set_addresses(nf_conntrack* entry, const FlowTuple& tuple, bool is_reply) {
  std::array<unsigned char, 16> source{};
  std::array<unsigned char, 16> destination{};
  tuple.source.address.to_wire(source.data());
  tuple.destination.address.to_wire(destination.data());
  if (tuple.family() == Family::kIpv4) {
    nfct_set_attr(entry, is_reply ? ATTR_REPL_IPV4_SRC : ATTR_IPV4_SRC, source.data());
    nfct_set_attr(entry, is_reply ? ATTR_REPL_IPV4_DST : ATTR_IPV4_DST, destination.data());
  } else {
    nfct_set_attr(entry, is_reply ? ATTR_REPL_IPV6_SRC : ATTR_IPV6_SRC, source.data());
    nfct_set_attr(entry, is_reply ? ATTR_REPL_IPV6_DST : ATTR_IPV6_DST, destination.data());
  }
}

void set_tuple(nf_conntrack* entry, const FlowTuple& tuple, bool is_reply) {
  set_addresses(entry, tuple, is_reply);
  nfct_set_attr_u8(entry, is_reply ? ATTR_REPL_L3PROTO : ATTR_L3PROTO,
                   tuple.family() == Family::kIpv4 ? AF_INET : AF_INET6);
  nfct_set_attr_u8(entry, is_reply ? ATTR_REPL_L4PROTO : ATTR_L4PROTO, tuple.protocol);
  if (tuple.is_icmp()) {
    // One set of these serves both directions; the library turns the type round for the reply.
    if (is_reply) return;
    nfct_set_attr_u8(entry, ATTR_ICMP_TYPE, tuple.icmp_type);
    nfct_set_attr_u8(entry, ATTR_ICMP_CODE, tuple.icmp_code);
    nfct_set_attr_u16(entry, ATTR_ICMP_ID, htons(tuple.icmp_id));
  } else {
    nfct_set_attr_u16(entry, is_reply ? ATTR_REPL_PORT_SRC : ATTR_PORT_SRC, htons(tuple.source.port));
    nfct_set_attr_u16(entry, is_reply ? ATTR_REPL_PORT_DST : ATTR_PORT_DST, htons(tuple.destination.port));
  }
}

Entry entry_of(const Flow& flow) {
  Entry entry = new_entry();
  set_tuple(entry.get(), flow.original, false);
  set_tuple(entry.get(), flow.reply, true);
  nfct_set_attr_u32(entry.get(), ATTR_STATUS, flow.status);
  nfct_set_attr_u32(entry.get(), ATTR_TIMEOUT, flow.timeout_seconds);
  nfct_set_attr_u32(entry.get(), ATTR_MARK, flow.mark.value);
  nfct_set_attr_u32(entry.get(), ATTR_ID, flow.id);
  if (flow.zone.id != 0) nfct_set_attr_u16(entry.get(), ATTR_ZONE, flow.zone.id);
  if (flow.tcp_state) nfct_set_attr_u8(entry.get(), ATTR_TCP_STATE, static_cast<uint8_t>(*flow.tcp_state));
  return entry;
}

// ATTR_ID is read but never written by the library.
Message with_id(Message message, uint32_t id) {
  mnl_attr_put_u32(&message.header(), CTA_ID, htonl(id));
  return message;
}

TEST(DecodeFlow, ReadsWhatLibnetfilterConntrackWrites) {
  RandomFlows flows;
  for (int i = 0; i < 5000; ++i) {
    const Flow flow = flows.next();
    Message message = with_id(message_of(entry_of(flow).get(), flow.original.family()), flow.id);
    const auto decoded = decode_flow(message.header());
    ASSERT_TRUE(decoded.has_value());
    ASSERT_EQ(*decoded, flow) << "flow " << i;
  }
}

TEST(DecodeFlow, RefusesOtherSubsystemsFamiliesAndFlowsWithoutBothDirections) {
  RandomFlows flows;
  const Flow flow = flows.next();
  Message message = message_of(entry_of(flow).get(), flow.original.family());
  message.header().nlmsg_type = NFNL_SUBSYS_CTNETLINK_EXP << 8 | IPCTNL_MSG_EXP_NEW;
  EXPECT_FALSE(decode_flow(message.header()));
  message.header().nlmsg_type = kNew;
  EXPECT_TRUE(decode_flow(message.header()));
  message.bytes[NLMSG_HDRLEN] = AF_UNIX;
  EXPECT_FALSE(decode_flow(message.header()));

  const Entry half = new_entry();
  set_tuple(half.get(), flow.original, false);
  EXPECT_FALSE(decode_flow(message_of(half.get(), flow.original.family()).header()));
}

// Under AddressSanitizer each message ends where its memory ends.
TEST(DecodeFlow, StaysInsideWhatIsCutOffOrGarbled) {
  RandomFlows flows;
  std::mt19937_64 engine(11);  // NOLINT(cert-msc51-cpp)
  for (int i = 0; i < 300; ++i) {
    const Flow flow = flows.next();
    Message whole = message_of(entry_of(flow).get(), flow.original.family());
    for (uint32_t length = sizeof(nlmsghdr); length <= whole.header().nlmsg_len; ++length) {
      const auto cut = std::make_unique<uint32_t[]>((length + 3) / 4);
      std::memcpy(cut.get(), whole.bytes.data(), length);
      auto& header = *reinterpret_cast<nlmsghdr*>(cut.get());
      header.nlmsg_len = length;
      if (i % 2 == 1) {
        auto* bytes = reinterpret_cast<unsigned char*>(cut.get());
        for (int flips = 0; flips < 4 && length > NLMSG_HDRLEN; ++flips) {
          bytes[NLMSG_HDRLEN + engine() % (length - NLMSG_HDRLEN)] ^= static_cast<unsigned char>(1U << engine() % 8);
        }
      }
      (void)decode_flow(header);
    }
  }
}

TEST(DeleteBatch, NamesEachFlowAsTheKernelDoesAndAsksOnlyForTheLastAnswer) {
  RandomFlows flows;
  std::vector<Flow> named;
  DeleteBatch batch;
  while (!batch.full()) {
    named.push_back(flows.next());
    batch.add(named.back());
  }
  ASSERT_EQ(named.size(), DeleteBatch::kMaxFlows);
  size_t index = 0;
  for_each_message(batch.finish(1000), [&](const nlmsghdr& message) {
    const Flow& flow = named.at(index);
    EXPECT_EQ(message.nlmsg_type, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
    EXPECT_EQ(message.nlmsg_seq, 1000 + index);
    EXPECT_EQ((message.nlmsg_flags & NLM_F_ACK) != 0, index + 1 == named.size());
    const Entry entry = new_entry();
    ASSERT_EQ(nfct_nlmsg_parse(&message, entry.get()), 0);
    const Entry expected = new_entry();
    set_tuple(expected.get(), flow.original, false);
    EXPECT_EQ(nfct_cmp(entry.get(), expected.get(), NFCT_CMP_ORIG | NFCT_CMP_STRICT), 1) << "flow " << index;
    EXPECT_EQ(nfct_get_attr_u32(entry.get(), ATTR_ID), flow.id);
    EXPECT_EQ(nfct_get_attr_u16(entry.get(), ATTR_ZONE), flow.zone.id);
    ++index;
  });
  EXPECT_EQ(index, named.size());
  batch.clear();
  EXPECT_TRUE(batch.finish(1).empty());
}

bool has_attribute(Request& request, uint16_t type) {
  bool found = false;
  for (const Attribute attribute : Attributes(message_payload(request.header(), sizeof(nfgenmsg)))) {
    found |= attribute.type() == type;
  }
  return found;
}

// On a kernel that does not filter flushes, CTA_FILTER alone is skipped and the whole table goes.
TEST(FlushRequest, NeverCarriesAFilterThatAnOlderKernelWouldSkip) {
  FlowFilter filter;
  filter.to = Prefix::parse("198.51.100.7");
  auto request = flush_request(filter);
  ASSERT_TRUE(request.has_value());
  EXPECT_TRUE(has_attribute(*request, CTA_FILTER));
  EXPECT_TRUE(has_attribute(*request, CTA_TUPLE_ORIG));

  filter.mark = MarkTest{7, 0xFF};
  request = flush_request(filter);
  ASSERT_TRUE(request.has_value());
  EXPECT_TRUE(has_attribute(*request, CTA_TUPLE_ORIG));
  EXPECT_TRUE(has_attribute(*request, CTA_MARK_MASK));
}

TEST(FlushRequest, IsNotMadeForWhatTheKernelDoesNotCompare) {
  FlowFilter prefix;
  prefix.to = Prefix::parse("198.51.100.0/24");
  EXPECT_FALSE(flush_request(prefix).has_value());
  // Kernels get the comparison of IPv6 addresses wrong and would delete all others.
  FlowFilter v6;
  v6.to = Prefix::parse("2001:db8::7");
  EXPECT_FALSE(flush_request(v6).has_value());
  FlowFilter mixed;
  mixed.to = Prefix::parse("198.51.100.7");
  mixed.from = Prefix::parse("10.0.0.0/8");
  EXPECT_FALSE(flush_request(mixed).has_value());
  FlowFilter zone;
  zone.zone = 3;
  EXPECT_FALSE(flush_request(zone).has_value());
  FlowFilter family;
  family.family = Family::kIpv6;
  EXPECT_FALSE(flush_request(family).has_value());
  FlowFilter protocol;
  protocol.protocol = protocol::kUdp;
  EXPECT_FALSE(flush_request(protocol).has_value());
  EXPECT_TRUE(flush_request({}).has_value());
}

}  // namespace
}  // namespace tails::conntrack
