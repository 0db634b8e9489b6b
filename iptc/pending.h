#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "iptc/kernel/raw_table.h"

namespace tails::iptc {

/// A change that waits to be confirmed.
struct Pending {
  pid_t keeper = 0;                       ///< The process that brings the state before back (iptc/confirm).
  uint64_t started = 0;                   ///< Field 22 of /proc/PID/stat: tells a process from a later one.
  std::chrono::milliseconds deadline{0};  ///< CLOCK_BOOTTIME
  /// A filter of the state before was open: without a confirmation all traffic is blocked.
  bool blocks = false;
  /// The keeper lives. False: somebody killed it, and nothing comes back until `mend_confirmation`.
  bool has_keeper = true;
};

/// The file that ties a keeper to the world, and keeps the state before for whoever must do a killed keeper's work:
///   tails-iptc confirm 2
///   KEEPER STARTED DEADLINE blocks|restores CHECKSUM
/// then, summed up in CHECKSUM, for each table of the state before
///   table FAMILY NAME CHAINS LENGTH
/// with a line "NAME accept|drop|- BEGIN END PACKETS OCTETS" for each chain, and LENGTH bytes of entries as the kernel
/// of this boot lays them out. Chain names hold no blanks (the kernel's tools refuse them); a table that has such a
/// one all the same counts as damaged.
std::string print_pending(const Pending& pending, const std::vector<kernel::RawTable>& before);

/// The first two lines; `has_keeper` is true. Nullopt where they are damaged.
std::optional<Pending> parse_pending(std::string_view text);

/// The tables. Nullopt where anything in them is damaged.
std::optional<std::vector<kernel::RawTable>> parse_tables_before(std::string_view text);

}  // namespace tails::iptc
