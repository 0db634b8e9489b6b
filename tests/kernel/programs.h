#pragma once

#include <random>
#include <vector>

#include "net/packet.h"
#include "net/result.h"
#include "policy/policy.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"

namespace tails::testbed {

/// Programs as they are: services that listen and answer, clients that connect, send, close or just end. What they do
/// to the wire the kernel decides: handshakes, resets, ICMP errors, orphaned connections.
class Programs {
 public:
  /// Starts what the policy's services stand for on the host (TCP accepts and hangs up, UDP answers), listeners on
  /// every address as careless daemons open them, and servers outside.
  static Result<Programs> start(const Testbed& bed, const policy::Policy& policy, uint64_t seed);

  /// One client of `wish`'s owner connects or sends to its destination: TCP or UDP, by its interface where it names
  /// one. Servers then do what they do.
  void act(const Packet& wish);

 private:
  struct Server {
    Descriptor socket;
    bool is_tcp = false;
  };

  explicit Programs(const Testbed& bed, uint64_t seed) : bed_(&bed), random_(seed) {}
  Result<void> serve(uint8_t protocol, const Endpoint& at, Uid owner);
  void connect_tcp_client(const Packet& wish, const SocketOptions& options);
  void send_udp_client(const Packet& wish, const SocketOptions& options);
  void let_servers_work();
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  const Testbed* bed_;
  std::mt19937_64 random_;
  std::vector<Server> servers_;
  std::vector<Descriptor> open_;  ///< Clients that stay for a while.
};

}  // namespace tails::testbed
