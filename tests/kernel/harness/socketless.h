#pragma once

#include <map>
#include <string>
#include <utility>

#include "net/result.h"
#include "tests/kernel/harness/packet_bytes.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/harness/wire.h"

namespace tails::testbed {

/// Makes the kernel itself send any packet we like from `host`: one that no socket sent, which programs cannot make.
///
/// A packet with its last hop is put on the cable of eth0. The kernel answers with an ICMP error of its own making,
/// before any filter is asked. That answer is caught in raw OUTPUT (NFQUEUE) and its bytes are replaced: conntrack, nat
/// and filter see the new packet only, leaving by the interface of the answer. (What passes is then routed by its new
/// destination.) Uses the table raw of `host`, both families, and lifts the kernel's limit of ICMP answers there. Not
/// thread-safe.
class SocketlessSender {
 public:
  static Result<SocketlessSender> start(const Testbed& bed, Wire& outside);

  /// `bytes` from the IP header on, as compose() makes them; to rules they leave by `out`, which has an address of that
  /// family, or is lo.
  Result<void> send(const Bytes& bytes, const InterfaceName& out);

 private:
  SocketlessSender(Wire& outside, Descriptor queue) : outside_(&outside), queue_(std::move(queue)) {}
  Wire* outside_;
  /// Whoever asks from there gets his answer by that interface.
  std::map<std::pair<Family, std::string>, IpAddress> askers_;
  Descriptor queue_;
};

}  // namespace tails::testbed
