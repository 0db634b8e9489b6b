#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "iptc/kernel/raw_table.h"
#include "net/result.h"

namespace tails::iptc::kernel {

enum class ExtensionKind : uint8_t { kMatch, kTarget };

/// The xtables of one network namespace. Two implementations, held to the same contract tests: the running kernel
/// (`running_kernel`) and one in memory (`memory_kernel.h`).
///
/// Not thread-safe (libiptc keeps static state). Every error is of kind kRefused and bears the errno; its words are
/// the same from either implementation.
class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;

  /// Whether this kernel speaks IPv6 at all. Fails where that cannot be told (a sandbox forbids to ask).
  virtual Result<bool> has_ipv6() = 0;

  /// Tables that exist in this namespace already. Asking loads no module and makes no table; a table that is not
  /// named here filters nothing.
  virtual Result<std::vector<std::string>> tables(Family family) = 0;

  /// The table as it is now. Makes the table (empty, all ACCEPT) and loads its module where needed.
  /// Errors: ENOENT, ENOPROTOOPT (the kernel lacks it: module, option and command are named), EPERM.
  virtual Result<RawTable> read(Family family, std::string_view table) = 0;

  /// Whether exactly this revision of a match or target can be used.
  virtual Result<bool> offers(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) = 0;

  /// Puts `wanted` in force in one step, counters included, if the table is still what `expected` says.
  /// EAGAIN: it is not; nothing was changed. After any other error the caller must read to know what is in force.
  virtual Result<void> replace(const RawTable& wanted, const RawTable& expected) = 0;

  /// For a copy of this process whose descriptors were closed: opens anew what it needs.
  virtual void reopen() {}

  /// A number that tells this network namespace from others alive on this machine; 0 where unknown.
  virtual uint64_t namespace_id() = 0;
};

/// The running kernel, in the network namespace of the calling thread at the time of each call.
std::unique_ptr<Kernel> running_kernel();

}  // namespace tails::iptc::kernel
