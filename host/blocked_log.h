#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "host/blocked_packet.h"
#include "host/network_namespace.h"
#include "net/result.h"

namespace tails::host {

/// What the filter logs, as it is logged. Not thread-safe.
class BlockedLog {
 public:
  using OnPacket = std::function<void(const BlockedPacket&)>;

  virtual ~BlockedLog() = default;
  BlockedLog() = default;
  BlockedLog(const BlockedLog&) = delete;
  BlockedLog& operator=(const BlockedLog&) = delete;

  /// Waits up to `patience` for packets and gives each to `on_packet`; returns after at most some thousands, so that
  /// the caller can show them. Errors (kRefused): the source fails.
  virtual Result<void> read(std::chrono::milliseconds patience, const OnPacket& on_packet) = 0;
  /// Messages that the kernel had to throw away since the log was opened, because nobody read them in time.
  struct Losses {
    /// By the gaps in the kernel's numbers. Of the kernel log: messages of any kind, for what they were is not known.
    uint64_t counted = 0;
    /// The kernel has said that there were still others; how many, the next message will show.
    bool has_uncounted = false;
    friend bool operator==(const Losses&, const Losses&) = default;
  };
  [[nodiscard]] virtual Losses losses() const = 0;
};

/// The kernel's own messages (/dev/kmsg, dev-kmsg in the kernel's documentation) that begin with `prefix`, from now on.
/// What programs write there does not count. Errors (kRefused): no permission, no such device.
Result<std::unique_ptr<BlockedLog>> open_kernel_log(std::string prefix, const std::string& path = "/dev/kmsg");

/// What the NFLOG target sends to `group` in the calling thread's network namespace. Errors (kRefused): no permission;
/// the group has a reader already (EBUSY); the kernel has no nfnetlink_log.
Result<std::unique_ptr<BlockedLog>> open_nflog(uint16_t group);

}  // namespace tails::host
