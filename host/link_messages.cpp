#include "host/link_messages.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/netlink.h"

namespace tails::host {
namespace {

using netlink::Attributes;
using netlink::find;

template <class Fixed>
Attributes attributes_of(const nlmsghdr& message) {
  return Attributes(netlink::message_payload(message, sizeof(Fixed)));
}

}  // namespace

std::optional<Link> read_link(const nlmsghdr& message) {
  const auto header = netlink::fixed_part<ifinfomsg>(message);
  if (message.nlmsg_type != RTM_NEWLINK || !header) return std::nullopt;
  const auto text = find(attributes_of<ifinfomsg>(message), IFLA_IFNAME);
  const auto name = text ? InterfaceName::make(text->text()) : std::nullopt;
  if (!name) return std::nullopt;
  const auto info = find(attributes_of<ifinfomsg>(message), IFLA_LINKINFO);
  const auto kind = info ? find(Attributes(*info), IFLA_INFO_KIND) : std::nullopt;
  return Link{header->ifi_index, *name, (header->ifi_flags & IFF_UP) != 0, kind ? std::string(kind->text()) : ""};
}

std::optional<LinkAddress> read_link_address(const nlmsghdr& message) {
  const auto header = netlink::fixed_part<ifaddrmsg>(message);
  if (message.nlmsg_type != RTM_NEWADDR || !header) return std::nullopt;
  if (header->ifa_family != AF_INET && header->ifa_family != AF_INET6) return std::nullopt;
  // On a point-to-point link IFA_ADDRESS is the other end; IFA_LOCAL is always ours where it is there.
  auto attribute = find(attributes_of<ifaddrmsg>(message), IFA_LOCAL);
  if (!attribute) attribute = find(attributes_of<ifaddrmsg>(message), IFA_ADDRESS);
  const Family family = header->ifa_family == AF_INET6 ? Family::kIpv6 : Family::kIpv4;
  if (!attribute || attribute->payload().size() * 8U != address_bits(family)) return std::nullopt;
  const IpAddress address = IpAddress::from_wire(family, attribute->payload().data());
  const auto network = Prefix::make(address, header->ifa_prefixlen);
  if (!network) return std::nullopt;
  return LinkAddress{static_cast<int>(header->ifa_index), address, *network};
}

std::optional<XdpState> read_xdp_state(const nlmsghdr& message) {
  const auto header = netlink::fixed_part<ifinfomsg>(message);
  if (message.nlmsg_type != RTM_NEWLINK || !header) return std::nullopt;
  const auto name = find(attributes_of<ifinfomsg>(message), IFLA_IFNAME);
  if (!name) return std::nullopt;
  const auto xdp = find(attributes_of<ifinfomsg>(message), IFLA_XDP);
  const auto attached = xdp ? find(Attributes(*xdp), IFLA_XDP_ATTACHED) : std::nullopt;
  const auto program = xdp ? find(Attributes(*xdp), IFLA_XDP_PROG_ID) : std::nullopt;
  return XdpState{header->ifi_index, std::string(name->text()), attached ? attached->u8() : uint8_t{0},
                  program ? program->u32() : 0};
}

std::optional<std::string_view> read_filter_kind(const nlmsghdr& message) {
  if (message.nlmsg_type != RTM_NEWTFILTER || !netlink::fixed_part<tcmsg>(message)) return std::nullopt;
  const auto kind = find(attributes_of<tcmsg>(message), TCA_KIND);
  return kind ? std::optional(kind->text()) : std::nullopt;
}

}  // namespace tails::host
