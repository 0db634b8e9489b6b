#include "host/rtnetlink.h"

#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>

#include <array>
#include <cerrno>

#include "net/errno_words.h"

#include "host/link_messages.h"

namespace tails::host {
namespace {

tl::unexpected<Error> netlink_refused(const std::string& what, int number) {
  const char* remedy = "";
  if (number == EPERM) remedy = "Run as root, or with CAP_NET_ADMIN.";
  if (number == EOPNOTSUPP) remedy = "The kernel lacks this kind of interface (CONFIG_VETH; modprobe veth).";
  return fail(ErrorKind::kRefused, what + ": " + errno_words(number), remedy, number);
}

int on_link(const nlmsghdr* message, void* data) {
  if (auto link = read_link(*message)) static_cast<std::vector<Link>*>(data)->push_back(*std::move(link));
  return MNL_CB_OK;
}

int on_address(const nlmsghdr* message, void* data) {
  if (const auto address = read_link_address(*message)) {
    static_cast<std::vector<LinkAddress>*>(data)->push_back(*address);
  }
  return MNL_CB_OK;
}

}  // namespace

/// One message under construction.
struct Rtnetlink::Request {
  std::array<char, 1024> buffer{};
  nlmsghdr* message;

  Request(uint16_t type, uint16_t flags) : message(mnl_nlmsg_put_header(buffer.data())) {
    message->nlmsg_type = type;
    message->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  }
  template <class Header>
  Header* header() {
    return static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
  }
  void put_address(uint16_t type, const IpAddress& address) {
    std::array<unsigned char, 16> bytes{};
    address.to_wire(bytes.data());
    mnl_attr_put(message, type, address_bits(address.family) / 8, bytes.data());
  }
  void put_name(uint16_t type, const InterfaceName& name) { mnl_attr_put_strz(message, type, name.view().data()); }
};

void Rtnetlink::Close::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

Result<Rtnetlink> Rtnetlink::open() {
  mnl_socket* socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
  if (socket == nullptr) return netlink_refused("cannot open a netlink socket", errno);
  Rtnetlink opened(socket);
  if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0) return netlink_refused("cannot bind a netlink socket", errno);
  return opened;
}

namespace {

/// Sends a dump request and feeds every answer to `callback`. An interrupted dump (NLM_F_DUMP_INTR) is repeated.
template <class Item, class Header>
Result<std::vector<Item>> dump(mnl_socket* socket, uint32_t& sequence, uint16_t type, mnl_cb_t callback,
                               const char* what) {
  constexpr int kAttempts = 10;
  for (int attempt = 0;; ++attempt) {
    std::array<char, 256> request{};
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    message->nlmsg_seq = ++sequence;
    mnl_nlmsg_put_extra_header(message, sizeof(Header));
    if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0) return netlink_refused(what, errno);

    std::vector<Item> items;
    std::array<char, 32768> answer{};
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
      const ssize_t size = mnl_socket_recvfrom(socket, answer.data(), answer.size());
      if (size < 0) return netlink_refused(what, errno);
      more = mnl_cb_run(answer.data(), static_cast<size_t>(size), sequence, mnl_socket_get_portid(socket), callback,
                        &items);
    }
    if (more == MNL_CB_STOP) return items;
    if (errno != EINTR || attempt + 1 == kAttempts) return netlink_refused(what, errno);
  }
}

}  // namespace

Result<std::vector<Link>> Rtnetlink::links() {
  return dump<Link, ifinfomsg>(socket_.get(), sequence_, RTM_GETLINK, on_link, "cannot list network interfaces");
}

Result<std::vector<LinkAddress>> Rtnetlink::addresses() {
  return dump<LinkAddress, ifaddrmsg>(socket_.get(), sequence_, RTM_GETADDR, on_address, "cannot list addresses");
}

Result<std::optional<Link>> Rtnetlink::find_link(const InterfaceName& name) {
  auto all = links();
  if (!all) return tl::unexpected(all.error());
  for (const Link& link : *all) {
    if (link.name == name) return link;
  }
  return std::nullopt;
}

Result<void> Rtnetlink::acknowledge(Request& request, const std::string& what) {
  request.message->nlmsg_flags |= NLM_F_ACK;
  request.message->nlmsg_seq = ++sequence_;
  if (mnl_socket_sendto(socket_.get(), request.message, request.message->nlmsg_len) < 0)
    return netlink_refused(what, errno);
  std::array<char, 8192> answer{};
  const ssize_t size = mnl_socket_recvfrom(socket_.get(), answer.data(), answer.size());
  if (size < 0) return netlink_refused(what, errno);
  if (mnl_cb_run(answer.data(), static_cast<size_t>(size), sequence_, mnl_socket_get_portid(socket_.get()), nullptr,
                 nullptr) < 0) {
    return netlink_refused(what, errno);
  }
  return {};
}

Result<void> Rtnetlink::add_veth(const InterfaceName& name, const InterfaceName& peer, int peer_namespace) {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  request.header<ifinfomsg>();
  request.put_name(IFLA_IFNAME, name);
  nlattr* info = mnl_attr_nest_start(request.message, IFLA_LINKINFO);
  mnl_attr_put_strz(request.message, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(request.message, IFLA_INFO_DATA);
  nlattr* peer_info = mnl_attr_nest_start(request.message, VETH_INFO_PEER);
  request.header<ifinfomsg>();
  request.put_name(IFLA_IFNAME, peer);
  mnl_attr_put_u32(request.message, IFLA_NET_NS_FD, static_cast<uint32_t>(peer_namespace));
  mnl_attr_nest_end(request.message, peer_info);
  mnl_attr_nest_end(request.message, data);
  mnl_attr_nest_end(request.message, info);
  return acknowledge(request, "cannot make the interface \"" + std::string(name.view()) + "\"");
}

Result<void> Rtnetlink::remove_link(int index) {
  Request request(RTM_DELLINK, 0);
  request.header<ifinfomsg>()->ifi_index = index;
  return acknowledge(request, "cannot remove interface number " + std::to_string(index));
}

Result<void> Rtnetlink::set_up(int index) {
  Request request(RTM_NEWLINK, 0);
  auto* header = request.header<ifinfomsg>();
  header->ifi_index = index;
  header->ifi_flags = IFF_UP;
  header->ifi_change = IFF_UP;
  return acknowledge(request, "cannot bring up interface number " + std::to_string(index));
}

Result<void> Rtnetlink::add_address(int index, const IpAddress& address, unsigned prefix_length) {
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = request.header<ifaddrmsg>();
  header->ifa_family = address.family == Family::kIpv4 ? AF_INET : AF_INET6;
  header->ifa_prefixlen = static_cast<uint8_t>(prefix_length);
  header->ifa_index = static_cast<uint32_t>(index);
  request.put_address(IFA_LOCAL, address);
  request.put_address(IFA_ADDRESS, address);
  return acknowledge(request,
                     "cannot give the address " + to_string(address) + " to interface number " + std::to_string(index));
}

Result<void> Rtnetlink::set_default_route(const IpAddress& gateway, int index) {
  Request request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = request.header<rtmsg>();
  header->rtm_family = gateway.family == Family::kIpv4 ? AF_INET : AF_INET6;
  header->rtm_table = RT_TABLE_MAIN;
  header->rtm_protocol = RTPROT_STATIC;
  header->rtm_scope = RT_SCOPE_UNIVERSE;
  header->rtm_type = RTN_UNICAST;
  request.put_address(RTA_GATEWAY, gateway);
  mnl_attr_put_u32(request.message, RTA_OIF, static_cast<uint32_t>(index));
  return acknowledge(request, "cannot set the default route by " + to_string(gateway));
}

}  // namespace tails::host
