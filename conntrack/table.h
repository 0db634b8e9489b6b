#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>

#include "conntrack/flow.h"
#include "conntrack/netlink.h"
#include "conntrack/wire.h"
#include "net/result.h"

namespace tails::conntrack {

/// What a removal did.
struct Removed {
  uint64_t flows = 0;  ///< Entries that we deleted.
  uint64_t gone = 0;   ///< Entries that ended by themselves before we came to them.
  Removed& operator+=(const Removed& other) {
    flows += other.flows;
    gone += other.gone;
    return *this;
  }
};

/// The kernel's flow table of the network namespace that the calling thread was in at open(). Move-only; not
/// thread-safe.
///
/// Errors: EPERM without CAP_NET_ADMIN over the namespace; EPROTONOSUPPORT where the kernel has no conntrack
/// netlink (Error::system_errno holds these); else what the call met.
class FlowTable {
 public:
  static Result<FlowTable> open();

  /// Number of entries at this moment.
  Result<uint64_t> count();

  /// Gives each flow that `filter` names to `visit`, both families, every zone. Streams: memory does not grow
  /// with the table. Flows that come or go meanwhile may or may not be seen. An interrupted dump starts over,
  /// after a call of `on_restart` (may be empty): `visit` then sees flows again.
  /// `visit` may remove flows with another FlowTable, not with this one.
  Result<void> for_each(const FlowFilter& filter, const std::function<void(const Flow&)>& visit,
                        const std::function<void()>& on_restart = {});

  /// The flow that has `tuple` in one of its directions, if there is one.
  Result<std::optional<Flow>> find(const FlowTuple& tuple, const Zone& zone = {});

  /// Deletes these entries, and not later ones with the same tuples.
  Result<Removed> remove(std::span<const Flow> flows);

  /// Makes the kernel delete all that `filter` names, without a dump. Nullopt where this kernel cannot compare
  /// all of `filter` by itself; nothing was deleted then. The number is the change in count() and thus off by
  /// the flows that came or went meanwhile.
  Result<std::optional<Removed>> flush(const FlowFilter& filter);

 private:
  explicit FlowTable(NetlinkSocket socket) : socket_(std::move(socket)) {}
  Result<void> send_batch(Removed& removed);

  NetlinkSocket socket_;
  DeleteBatch batch_;
  uint32_t sequence_ = 1U << 31;  ///< Apart from those of NetlinkSocket's own requests.
};

/// The Error for a failed request to ctnetlink: `what` is "cannot list flows". Names the missing module or
/// capability.
Error flow_error(std::string_view what, Errno error);

}  // namespace tails::conntrack
