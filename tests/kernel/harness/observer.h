#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "net/descriptor.h"
#include "net/ids.h"
#include "net/packet.h"
#include "net/result.h"
#include "tests/kernel/harness/network_namespace.h"
#include "tests/kernel/harness/packet_bytes.h"

namespace tails::testbed {

/// One packet at one place, described by the kernel itself.
struct Sighting {
  enum class Place : uint8_t {
    kBefore,  ///< mangle: conntrack has spoken, nat (of OUTPUT) and filter have not.
    kPassed,  ///< security: filter let it through, nat (of OUTPUT) has rewritten it.
  };

  Place place = Place::kBefore;
  /// Addresses and ports as they are at that place. At kBefore this is the packet that the evaluator is to be asked
  /// about: state, direction and recorded NAT are conntrack's, the owner is what the owner test says. Of the
  /// status bits only IPS_CONFIRMED is seen, the flow's mark is not.
  Packet packet;
  Bytes bytes;
};

/// Watches every packet that a namespace judges, and changes none: NFLOG rules in the tables mangle and security, which
/// the policy leaves alone, in both families. Unlike a LOG line it works in every namespace, and it carries what
/// conntrack and the socket say, so a test need not guess the state it has made. Not thread-safe.
class Observer {
 public:
  /// Replaces mangle and security of `where`. `users`: owners to be told apart also on packets of a half-open
  /// connection (SYN-ACK), whose socket NFLOG does not name; any other owner is read from the socket.
  static Result<Observer> start(const NetworkNamespace& where, std::span<const Uid> users);

  /// What was seen since the last call, in order. Never waits. Fails when the kernel lost messages.
  Result<std::vector<Sighting>> drain();

 private:
  /// What conntrack says of a packet.
  struct Flow {
    ConnState state = ConnState::kInvalid;
    Direction direction = Direction::kOriginal;
    bool has_destination_nat = false;
    bool is_confirmed = false;  ///< It is in conntrack's table: this is not its first packet.
  };

  Observer(const NetworkNamespace& where, Descriptor socket) : where_(&where), socket_(std::move(socket)) {}
  friend class SightingReader;
  InterfaceName interface_name(uint32_t index);

  const NetworkNamespace* where_;
  Descriptor socket_;
  std::map<uint32_t, InterfaceName> interfaces_;
  std::set<IpAddress> own_addresses_;
  std::vector<char> buffer_ = std::vector<char>(1 << 18);
  Flow next_;  ///< Of the packet whose sighting comes next.
};

}  // namespace tails::testbed
