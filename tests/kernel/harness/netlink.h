#pragma once

#include <libmnl/libmnl.h>

#include <string>

#include "net/result.h"

/// What libmnl leaves to its user.
namespace tails::testbed {

/// Calls `visit` with each attribute behind the `header_size` bytes that follow the netlink header. (libmnl's own loop
/// is a macro that C++ refuses.)
template <class Visit>
void for_each_attribute(const nlmsghdr* message, size_t header_size, Visit visit) {
  const auto* at = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, header_size));
  const char* const end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
  for (; mnl_attr_ok(at, static_cast<int>(end - reinterpret_cast<const char*>(at))); at = mnl_attr_next(at)) visit(at);
}

/// Sends a request that has NLM_F_ACK and waits for the kernel's answer. `what` names it in the error.
Result<void> request_and_wait(int socket, const nlmsghdr* request, const std::string& what);

}  // namespace tails::testbed
