#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"

namespace tails {

/// A network namespace whose packets this machine forwards.
struct ForwardedGuest {
  InterfaceName interface;  ///< The host's end of the pair, where its packets come in.
  IpAddress address;        ///< The guest's own, before masquerading.
  friend bool operator==(const ForwardedGuest&, const ForwardedGuest&) = default;
};

/// Who a frame on the wire speaks for: the tag (a DSCP or VLAN number, 1..63; 0 means "no owner" and is never in a
/// list) and the owner that it stands for. The kernel side writes the tags, the fast path reads them; both go by the
/// same list, so a number never means two things.
struct OwnerTag {
  static constexpr unsigned kCount = 64;  ///< Tags are 0..63, as many as DSCP has (RFC 2474 section 3).

  uint8_t tag = 0;
  std::variant<Uid, ForwardedGuest> owner;
  std::string name;  ///< What a reader calls it: "debian-tor", "namespace clearnet".
  friend bool operator==(const OwnerTag&, const OwnerTag&) = default;
};

}  // namespace tails
