#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "net/packet.h"
#include "net/result.h"
#include "tests/kernel/harness/packet_bytes.h"
#include "tests/kernel/harness/socketless.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/harness/wire.h"

namespace tails::testbed {

/// Makes a described packet happen in a testbed's host: gives its flow the state that the description wants, then sends
/// it as its owner, or as nobody, or puts it on the cable it is to come from. What the kernel then thinks of it only an
/// Observer can say: some descriptions no packet fits (a TCP RST in state NEW), and the nearest packet is sent instead.
/// Not thread-safe.
class Sender {
 public:
  /// Uses the table raw of `bed.host`. `bed` outlives this and stays where it is.
  static Result<Sender> start(const Testbed& bed);

  /// The packet's hook, addresses, ports, protocol, flags, interface, owner, state and direction count. NAT: a
  /// `recorded_nat` in state ESTABLISHED or NEW. Owner: at OUTPUT only. The interface `out` of OUTPUT is what the
  /// socket is bound to; empty: the routes decide. Value: what sending said (errno, 0: nothing). Fails when the packet
  /// cannot be made.
  Result<int> send(const Packet& packet);

  /// What came out of all cables since the last call, each with the name of the host's interface.
  Result<std::vector<Frame>> drain_cables();

  /// Puts a packet on the cable of that interface of the host, or on its lo, past OUTPUT.
  Result<void> inject(const InterfaceName& host_interface, const Bytes& packet);

 private:
  explicit Sender(const Testbed& bed) : bed_(&bed) {}
  Result<Details> prepare(const Packet& packet);
  Result<Details> prepare_related(const Packet& packet);

  struct FarEnd {
    Wire* wire = nullptr;
    InterfaceName name;
  };

  const Testbed* bed_;
  std::vector<std::unique_ptr<Wire>> wires_;
  std::map<InterfaceName, FarEnd> far_ends_;
  std::unique_ptr<SocketlessSender> socketless_;
  uint16_t next_ip_id_ = 1;
};

}  // namespace tails::testbed
