#include "tests/kernel/harness/socketless.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <array>
#include <optional>

#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/netlink.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::testbed {
namespace {

constexpr uint16_t kQueue = 77;

// The trigger goes here, and nothing else does.
constexpr IpAddress kBeyondV4 = IpAddress::v4(198, 51, 100, 77);
constexpr IpAddress kBeyondV6 = IpAddress::v6(0x20010db800020000, 0x77);

std::string raw_rules(const IpAddress& beyond, const char* error) {
  // The trigger is not tracked, or its answer would carry its flow and not get one of its own. The inverted owner test
  // leaves out errors that a program made.
  return "*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\n-A PREROUTING -d " + to_string(beyond) +
         " -j CT --notrack\n-A OUTPUT -m owner ! --uid-owner 0-4294967294 " + error + " -j NFQUEUE --queue-num " +
         std::to_string(kQueue) + "\nCOMMIT\n";
}

/// For each interface somebody behind it; for lo this machine itself.
std::map<std::pair<Family, std::string>, IpAddress> find_askers() {
  std::map<std::pair<Family, std::string>, IpAddress> askers;
  for (const auto& [interface, address] : interface_addresses()) {
    IpAddress neighbour = address;
    neighbour.low += 1;
    if (interface == "eth0") askers[{address.family, "lo"}] = address;
    if (interface != "lo") askers.emplace(std::pair{address.family, interface}, neighbour);
  }
  return askers;
}

nlmsghdr* put_queue_header(char* buffer, uint16_t type) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_QUEUE << 8 | type);
  header->nlmsg_flags = NLM_F_REQUEST;
  auto* general = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(nfgenmsg)));
  general->version = NFNETLINK_V0;
  general->res_id = htons(kQueue);
  return header;
}

Result<void> bind_queue(int socket) {
  alignas(nlmsghdr) std::array<char, 512> buffer{};
  nlmsghdr* header = put_queue_header(buffer.data(), NFQNL_MSG_CONFIG);
  header->nlmsg_flags |= NLM_F_ACK;
  nfqnl_msg_config_cmd command{};
  command.command = NFQNL_CFG_CMD_BIND;
  mnl_attr_put(header, NFQA_CFG_CMD, sizeof command, &command);
  nfqnl_msg_config_params parameters{};
  parameters.copy_range = htonl(256);
  parameters.copy_mode = NFQNL_COPY_PACKET;
  mnl_attr_put(header, NFQA_CFG_PARAMS, sizeof parameters, &parameters);
  return request_and_wait(socket, header, "bind an NFQUEUE");
}

/// The packet's number in one message of the queue.
std::optional<uint32_t> id_of(const nlmsghdr* message) {
  if (message->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET)) return std::nullopt;
  std::optional<uint32_t> id;
  for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr* at) {
    if (mnl_attr_get_type(at) != NFQA_PACKET_HDR) return;
    id = ntohl(static_cast<const nfqnl_msg_packet_hdr*>(mnl_attr_get_payload(at))->packet_id);
  });
  return id;
}

}  // namespace

Result<SocketlessSender> SocketlessSender::start(const Testbed& bed, Wire& outside) {
  const Inside inside(bed.host);
  constexpr std::array<std::pair<const char*, const char*>, 5> kSettings = {
      {{"net.ipv4.icmp_ratelimit", "0"},
       {"net.ipv4.icmp_ratemask", "0"},
       {"net.ipv6.icmp.ratelimit", "0"},
       {"net.ipv6.conf.all.forwarding", "1"},
       {"net.ipv4.conf.all.accept_local", "1"}}};  // for the answer to ourselves, by lo
  for (const auto& [name, value] : kSettings) {
    if (auto set = set_sysctl(name, value); !set) return tl::unexpected(set.error());
  }
  // Of each namespace only since 6.13; before, a thousand a second are enough for us.
  static_cast<void>(set_sysctl("net.ipv4.icmp_msgs_per_sec", "1000000"));
  static_cast<void>(set_sysctl("net.ipv4.icmp_msgs_burst", "1000000"));

  const std::string v4 = raw_rules(kBeyondV4, "-p icmp -m icmp --icmp-type time-exceeded");
  const std::string v6 = raw_rules(kBeyondV6, "-p ipv6-icmp -m icmp6 --icmpv6-type time-exceeded");
  auto loaded = run_checked({.arguments = {"iptables-legacy-restore"}, .input = v4, .has_private_run = true});
  if (!loaded) return tl::unexpected(loaded.error());
  loaded = run_checked({.arguments = {"ip6tables-legacy-restore"}, .input = v6, .has_private_run = true});
  if (!loaded) return tl::unexpected(loaded.error());

  Descriptor queue(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!queue.is_open()) return system_failure("netlink socket");
  if (auto bound = bind_queue(queue.get()); !bound) return tl::unexpected(bound.error());
  SocketlessSender sender(outside, std::move(queue));
  sender.askers_ = find_askers();
  return sender;
}

Result<void> SocketlessSender::send(const Bytes& bytes, const InterfaceName& out) {
  const bool is_v6 = !bytes.empty() && static_cast<uint8_t>(bytes[0]) >> 4 == 6;
  const auto asker = askers_.find({is_v6 ? Family::kIpv6 : Family::kIpv4, std::string(out.view())});
  if (asker == askers_.end()) {
    return fail(ErrorKind::kUsage, std::string(out.view()) + " has no address of that family");
  }
  Packet trigger;
  trigger.protocol = protocol::kUdp;
  trigger.source = asker->second;
  trigger.destination = is_v6 ? kBeyondV6 : kBeyondV4;
  trigger.source_port = trigger.destination_port = 33434;
  if (auto put = outside_->inject(*InterfaceName::make("wire0"), compose(trigger, {.hop_limit = 1})); !put) return put;

  alignas(nlmsghdr) std::array<char, 8192> buffer{};
  if (!wait_readable(queue_.get(), std::chrono::milliseconds(500))) {
    return fail(ErrorKind::kRefused, "the kernel did not answer a packet that had no hop left");
  }
  const ssize_t length = ::recv(queue_.get(), buffer.data(), buffer.size(), 0);
  if (length < 0) return system_failure("read NFQUEUE");
  const auto id = id_of(reinterpret_cast<const nlmsghdr*>(buffer.data()));
  if (!id) return fail(ErrorKind::kRefused, "NFQUEUE said something unexpected");

  buffer.fill(0);
  nlmsghdr* verdict = put_queue_header(buffer.data(), NFQNL_MSG_VERDICT);
  nfqnl_msg_verdict_hdr accept{};
  accept.verdict = htonl(NF_ACCEPT);
  accept.id = htonl(*id);
  mnl_attr_put(verdict, NFQA_VERDICT_HDR, sizeof accept, &accept);
  mnl_attr_put(verdict, NFQA_PAYLOAD, bytes.size(), bytes.data());
  if (::send(queue_.get(), verdict, verdict->nlmsg_len, 0) < 0) return system_failure("answer NFQUEUE");
  return {};
}

}  // namespace tails::testbed
