#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <linux/capability.h>

/// What each command needs, and so all that it is left with: one table, which the confinement is made from and which
/// docs/least-privilege.md shows.
namespace tails::confine {

/// A set of capabilities, bit N for capability N (linux/capability.h).
using Capabilities = uint64_t;
constexpr Capabilities capability(unsigned number) { return Capabilities{1} << number; }

inline constexpr Capabilities kNoCapabilities = 0;
/// Tables of rules are read and written through raw sockets, flows and sockets through netlink.
inline constexpr Capabilities kNetwork = capability(CAP_NET_ADMIN) | capability(CAP_NET_RAW);
inline constexpr Capabilities kEveryCapability = ~Capabilities{0};

/// Groups of system calls (calls.cpp names each call). Reading files, memory, time and writing to what is open already
/// is everybody's.
enum class Calls : uint8_t {
  kReadOnly = 0,
  kSockets = 1,     ///< Sockets of IPv4, IPv6 and netlink; no connection is made.
  kFiles = 2,       ///< Open for writing, make, rename, remove, lock.
  kProcesses = 4,   ///< The process that takes an unconfirmed change back: start it, end it.
  kNamespaces = 8,  ///< Step into a network namespace that exists.
  kBpf = 16,        ///< bpf(2), to list programs that pass packets by.
  kMost = 32,       ///< All but those that no command needs (kNever in calls.cpp).
};
constexpr Calls operator|(Calls a, Calls b) {
  return static_cast<Calls>(static_cast<uint8_t>(a) | static_cast<uint8_t>(b));
}
constexpr bool has(Calls set, Calls one) { return (static_cast<uint8_t>(set) & static_cast<uint8_t>(one)) != 0; }

/// Where files may be made, changed and removed.
enum class Writes : uint8_t {
  kNowhere,
  kListed,    ///< Row::places.
  kAnywhere,  ///< As far as the account may: the kernel's own limit on places does not go with mounting.
};

struct Row {
  std::string_view command;      ///< "apply"; with an option that needs more, "apply --host".
  Capabilities keeps = 0;        ///< From the end of its start-up on.
  Capabilities starts_with = 0;  ///< Besides, until then.
  Calls calls = Calls::kReadOnly;
  Calls starts_with_calls = Calls::kReadOnly;  ///< Besides, until then.
  Writes writes = Writes::kNowhere;
  std::span<const std::string_view> places = {};  ///< Files and folders; what is missing is made.
  std::string_view place_option = {};  ///< An option whose value is a file: that file's folder is a place too.
  /// The command says itself when its start-up is over; every other one is confined before its first step.
  bool settles_late = false;
  /// Looks into other processes, which Landlock forbids whoever it limits (landlock(7)): seccomp alone keeps it from
  /// writing.
  bool looks_into_processes = false;
  /// Becomes another program, which confines itself or is the user's: it is left as it is.
  bool hands_over = false;
  /// May find xtables missing and loads it (modprobe), before it is confined.
  bool loads_modules = false;
  std::string_view why = {};  ///< For the reader of the table: what is needed beyond the usual.
};

/// Every row, in the order of the commands.
std::span<const Row> rows();

/// The row of `command`, of those with an option the first whose option `is_given`. Nullptr: there is none.
template <class IsGiven>
const Row* find_row(std::string_view command, IsGiven&& is_given) {
  const Row* found = nullptr;
  for (const Row& row : rows()) {
    if (row.command == command) {
      found = &row;
    } else if (row.command.size() > command.size() + 1 && row.command.starts_with(command) &&
               row.command.substr(command.size() + 1).starts_with("--") &&
               is_given(row.command.substr(command.size() + 1))) {
      return &row;
    }
  }
  return found;
}

/// The table for readers, in Markdown; docs/least-privilege.md holds it.
std::string rows_text();

}  // namespace tails::confine
