#pragma once

#include <span>
#include <vector>

#include "net/descriptor.h"
#include "net/interface_name.h"
#include "net/result.h"
#include "tests/kernel/harness/network_namespace.h"
#include "tests/kernel/harness/packet_bytes.h"

namespace tails::testbed {

/// A packet that came out of a cable.
struct Frame {
  InterfaceName interface;  ///< On the side that watches.
  Bytes bytes;              ///< From the IP header on.
};

/// The far end of a namespace's cables, watched with AF_PACKET: the judge of what got out. No rule of any table
/// stands between the cable and this.
class Wire {
 public:
  static Result<Wire> watch(const NetworkNamespace& far_side);

  /// The IPv4 and IPv6 packets that came in on any interface but lo since the last call, in order. Never waits.
  Result<std::vector<Frame>> drain();
  /// How many it had no room for since the last call: what came between two drains went by unseen.
  Result<unsigned> lost();

  /// Puts a packet on the cable at `interface` (of the far side), whatever it claims to be.
  Result<void> inject(const InterfaceName& interface, std::span<const std::byte> packet);

 private:
  Wire(const NetworkNamespace& far_side, Descriptor socket) : far_side_(&far_side), socket_(std::move(socket)) {}
  const NetworkNamespace* far_side_;
  Descriptor socket_;
  Bytes buffer_ = Bytes(1 << 16);
};

}  // namespace tails::testbed
