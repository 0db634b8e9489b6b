#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "net/result.h"

struct nlmsghdr;

namespace tails::host {

/// Asks the kernel for a list over netlink, in the calling thread's network namespace, and gives each item to `each`
/// (the message; its header of the protocol is in front of its attributes). `protocol`: NETLINK_ROUTE, …; `type`: the
/// message's; `header`: the protocol's header of the request. A list that changed while it was read is read again, so
/// `each` must bear to see an item twice.
/// Error (kRefused) with errno: the kernel does not know the question (EINVAL, EOPNOTSUPP), or refuses.
Result<void> netlink_dump(int protocol, uint16_t type, std::span<const std::byte> header,
                          const std::function<void(const nlmsghdr&)>& each);

}  // namespace tails::host
