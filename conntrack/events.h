#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "conntrack/flow.h"
#include "conntrack/netlink.h"
#include "net/result.h"

namespace tails::conntrack {

/// Something that happened to a flow.
struct FlowEvent {
  enum class Kind : uint8_t { kOpened, kEnded };
  Kind kind = Kind::kOpened;
  Flow flow;
};

/// The kernel's news of flows, for the network namespace that the calling thread was in at open(). Move-only; not
/// thread-safe.
///
/// Limits: the kernel tells only what happens while somebody listens, and of entries made by packets that passed all
/// filters (net.netfilter.nf_conntrack_events, on by default).
class FlowEvents {
 public:
  /// `queue_bytes`: what the kernel may keep for us; past that it drops news and says so. Errors as FlowTable::open.
  static Result<FlowEvents> open(int queue_bytes = 8 << 20);

  struct News {
    std::vector<FlowEvent> events;  ///< In the order in which they happened; at most kMaxEvents.
    bool is_incomplete = false;     ///< The kernel dropped some (ENOBUFS): whoever keeps a picture must make it anew.
  };
  static constexpr size_t kMaxEvents = 1000;

  /// What has come; waits at most `patience` for something. Empty when nothing came, or a signal did.
  Result<News> wait(std::chrono::milliseconds patience);

  [[nodiscard]] int fd() const { return socket_.fd(); }

 private:
  explicit FlowEvents(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace tails::conntrack
