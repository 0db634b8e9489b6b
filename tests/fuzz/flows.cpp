// Any bytes, as conntrack's messages: flows are read or they are none, never worse. The request to delete a flow names
// the flow that was read.
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "conntrack/wire.h"
#include "net/netlink.h"

namespace {

using namespace tails;             // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::conntrack;  // NOLINT(google-build-using-namespace)

void expect(bool holds) {
  if (!holds) std::abort();
}

/// A request to delete, made into the message that tells of such a flow: its tuple once more, for the answers.
std::vector<std::byte> as_news(std::span<const std::byte> request) {
  std::vector<std::byte> news(request.begin(), request.end());
  const auto attributes = request.subspan(NLMSG_LENGTH(sizeof(nfgenmsg)));
  news.insert(news.end(), attributes.begin(), attributes.end());
  auto& header = *reinterpret_cast<nlmsghdr*>(news.data());
  header.nlmsg_len = static_cast<uint32_t>(news.size());
  auto& tuple = *reinterpret_cast<nlattr*>(news.data() + request.size());
  expect((tuple.nla_type & netlink::kTypeMask) == CTA_TUPLE_ORIG);
  tuple.nla_type = NLA_F_NESTED | CTA_TUPLE_REPLY;
  return news;
}

/// Of a tuple only what is sent for its protocol.
FlowTuple as_sent(FlowTuple tuple) {
  if (tuple.is_icmp()) {
    tuple.source.port = tuple.destination.port = 0;
  } else {
    tuple.icmp_type = tuple.icmp_code = 0;
    tuple.icmp_id = 0;
  }
  return tuple;
}

void check(const Flow& flow) {
  expect(flow.original.source.address.family == flow.original.destination.address.family);
  expect(flow.original.family() == flow.reply.family());
  if (flow.tcp_state) expect(!to_string(*flow.tcp_state).empty());
  expect(FlowFilter{}.matches(flow));
  FlowFilter filter;
  filter.protocol = flow.original.protocol;
  filter.mark = MarkTest{flow.mark.value};
  expect(filter.matches(flow));

  static DeleteBatch batch;
  batch.clear();
  batch.add(flow);
  const auto news = as_news(batch.finish(1));
  const auto again = decode_flow(*reinterpret_cast<const nlmsghdr*>(news.data()));
  expect(again && again->original == as_sent(flow.original) && again->id == flow.id);
  if (flow.zone.side != Zone::Side::kReply) expect(again->zone.id == flow.zone.id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  netlink::for_each_message(std::as_bytes(std::span(data, size)), [](const nlmsghdr& message) {
    expect(error_in(message) >= 0);
    if (const auto flow = decode_flow(message)) check(*flow);
  });
  return 0;
}
