#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "host/rtnetlink.h"

/// Messages of rtnetlink(7) about interfaces (linux/if_link.h, linux/if_addr.h, linux/rtnetlink.h). Each gives nullopt
/// for a message of another type and for one that is cut short, and never reads outside the message. Pure.
namespace tails::host {

/// RTM_NEWLINK. Nullopt as well where the name cannot be one of ours (one with ':' or the like).
std::optional<Link> read_link(const nlmsghdr& message);

/// RTM_NEWADDR.
std::optional<LinkAddress> read_link_address(const nlmsghdr& message);

/// An interface, whatever its name, and the XDP program that sees its packets before every table.
struct XdpState {
  int index = 0;
  std::string name;
  uint8_t mode = 0;      ///< XDP_ATTACHED_*; 0: there is none.
  uint32_t program = 0;  ///< The kernel's number; 0 also where several are attached.
};
/// RTM_NEWLINK.
std::optional<XdpState> read_xdp_state(const nlmsghdr& message);

/// RTM_NEWTFILTER: the kind of a traffic control filter ("bpf", "flower"); a view into the message.
std::optional<std::string_view> read_filter_kind(const nlmsghdr& message);

}  // namespace tails::host
