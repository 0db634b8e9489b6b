// Fills the flow table of the current network namespace for bench/conntrack and the tests:
//   conntrack_fill COUNT SOURCE FIRST_DESTINATION ADDRESSES tcp|udp [MARK]
// Flow i goes from SOURCE to FIRST_DESTINATION + i % ADDRESSES (IPv4), each with its own pair of ports.
#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace {

using Entry = std::unique_ptr<nf_conntrack, decltype(&nfct_destroy)>;

uint32_t address(const char* text) {
  in_addr parsed{};
  if (inet_pton(AF_INET, text, &parsed) != 1) {
    std::fprintf(stderr, "conntrack_fill: \"%s\" is not an IPv4 address\n", text);
    std::exit(2);
  }
  return ntohl(parsed.s_addr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: conntrack_fill COUNT SOURCE FIRST_DESTINATION ADDRESSES tcp|udp [MARK]\n");
    return 2;
  }
  const uint32_t count = static_cast<uint32_t>(std::strtoul(argv[1], nullptr, 10));
  const uint32_t source = address(argv[2]);
  const uint32_t destination = address(argv[3]);
  const uint32_t addresses = static_cast<uint32_t>(std::strtoul(argv[4], nullptr, 10));
  const bool tcp = std::string_view(argv[5]) == "tcp";
  const uint32_t mark = argc > 6 ? static_cast<uint32_t>(std::strtoul(argv[6], nullptr, 0)) : 0;

  mnl_socket* socket = mnl_socket_open(NETLINK_NETFILTER);
  if (socket == nullptr || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) != 0) {
    std::perror("conntrack_fill: netlink");
    return 3;
  }
  constexpr uint32_t kBatch = 200;
  std::vector<char> buffer(size_t{kBatch} * 512);
  std::vector<char> answer(1 << 16);
  for (uint32_t start = 0; start < count; start += kBatch) {
    const uint32_t end = start + kBatch < count ? start + kBatch : count;
    size_t used = 0;
    for (uint32_t i = start; i < end; ++i) {
      const Entry entry(nfct_new(), &nfct_destroy);
      const uint32_t to = destination + i % addresses;
      const uint32_t pair = i / addresses;
      const auto source_port = static_cast<uint16_t>(1024 + pair % 60000);
      const auto destination_port = static_cast<uint16_t>(443 + pair / 60000);
      nfct_set_attr_u8(entry.get(), ATTR_L3PROTO, AF_INET);
      nfct_set_attr_u32(entry.get(), ATTR_IPV4_SRC, htonl(source));
      nfct_set_attr_u32(entry.get(), ATTR_IPV4_DST, htonl(to));
      nfct_set_attr_u8(entry.get(), ATTR_L4PROTO, tcp ? IPPROTO_TCP : IPPROTO_UDP);
      nfct_set_attr_u16(entry.get(), ATTR_PORT_SRC, htons(source_port));
      nfct_set_attr_u16(entry.get(), ATTR_PORT_DST, htons(destination_port));
      nfct_setobjopt(entry.get(), NFCT_SOPT_SETUP_REPLY);
      nfct_set_attr_u32(entry.get(), ATTR_TIMEOUT, 3600);
      nfct_set_attr_u32(entry.get(), ATTR_STATUS, IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED);
      if (mark != 0) nfct_set_attr_u32(entry.get(), ATTR_MARK, mark);
      if (tcp) nfct_set_attr_u8(entry.get(), ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);

      nlmsghdr* message = mnl_nlmsg_put_header(buffer.data() + used);
      message->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW);
      message->nlmsg_flags =
          static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | (i + 1 == end ? NLM_F_ACK : 0));
      message->nlmsg_seq = i + 1;
      auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
      header->nfgen_family = AF_INET;
      if (nfct_nlmsg_build(message, entry.get()) < 0) {
        std::fprintf(stderr, "conntrack_fill: cannot build an entry\n");
        return 1;
      }
      used += (message->nlmsg_len + 3U) & ~3U;  // MNL_ALIGN, without its sign
    }
    if (mnl_socket_sendto(socket, buffer.data(), used) < 0) {
      std::perror("conntrack_fill: send");
      return 3;
    }
    for (bool done = false; !done;) {
      const ssize_t bytes = mnl_socket_recvfrom(socket, answer.data(), answer.size());
      if (bytes < 0) {
        std::perror("conntrack_fill: receive");
        return 3;
      }
      int left = static_cast<int>(bytes);
      const auto* message = reinterpret_cast<const nlmsghdr*>(answer.data());
      while (mnl_nlmsg_ok(message, left)) {
        const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message));
        if (message->nlmsg_type == NLMSG_ERROR && error->error != 0) {
          std::fprintf(stderr, "conntrack_fill: entry %u: %s\n", message->nlmsg_seq - 1, std::strerror(-error->error));
          return 3;
        }
        if (message->nlmsg_seq == end) done = true;
        message = mnl_nlmsg_next(message, &left);
      }
    }
  }
  mnl_socket_close(socket);
  return 0;
}
