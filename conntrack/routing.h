#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "conntrack/netlink.h"
#include "conntrack/routing_tables.h"
#include "net/packet.h"
#include "net/result.h"

namespace tails::conntrack {

/// Where a packet to an address would go.
struct Route {
  AddressType type = AddressType::kUnicast;
  InterfaceName interface;  ///< Empty: no route.
};

/// The addresses and routes of a network namespace: which addresses are its own, which interface leads where.
/// An interface, so that judging can be tested without a kernel.
class Routing {
 public:
  virtual ~Routing() = default;

  /// This machine's own: loopback networks included.
  [[nodiscard]] virtual bool is_local(const IpAddress& address) const = 0;
  /// kLocal, kBroadcast, kMulticast or kUnicast.
  [[nodiscard]] virtual AddressType type(const IpAddress& address) const = 0;
  /// For a packet of `user` (if any) from `source`, bound to the interface of index `bound_interface` (0: none).
  /// May be slow.
  [[nodiscard]] virtual Route route(const IpAddress& destination, const IpAddress& source, std::optional<Uid> user,
                                    uint32_t bound_interface) const = 0;
  /// Whether packets that come in by `interface` for other machines are passed on.
  [[nodiscard]] virtual bool forwards(const InterfaceName& interface, Family family) const = 0;
  /// Where the answers above change from one address to the next: every answer is the same for all addresses
  /// from one boundary up to the next. Sorted within a family, no address twice. The first address of the family
  /// need not be named.
  [[nodiscard]] virtual std::vector<IpAddress> boundaries() const = 0;

 protected:
  Routing() = default;
  Routing(const Routing&) = default;
  Routing& operator=(const Routing&) = default;
  Routing(Routing&&) = default;
  Routing& operator=(Routing&&) = default;
};

/// The calling thread's network namespace. Addresses and prefixes are those of the moment of read(); `route` asks
/// the kernel each time. Move-only; not thread-safe.
class KernelRouting final : public Routing {
 public:
  static Result<KernelRouting> read();

  [[nodiscard]] bool is_local(const IpAddress& address) const override;
  [[nodiscard]] AddressType type(const IpAddress& address) const override;
  [[nodiscard]] Route route(const IpAddress& destination, const IpAddress& source, std::optional<Uid> user,
                            uint32_t bound_interface) const override;
  [[nodiscard]] bool forwards(const InterfaceName& interface, Family family) const override;
  [[nodiscard]] std::vector<IpAddress> boundaries() const override;

 private:
  explicit KernelRouting(NetlinkSocket socket) : socket_(std::move(socket)) {}
  Result<void, Errno> read_links();
  Result<void, Errno> read_routes();
  Result<void, Errno> read_rules();

  mutable NetlinkSocket socket_;
  RoutingTables tables_;
};

}  // namespace tails::conntrack
