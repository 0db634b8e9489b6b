#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "ruleset/rule_set.h"

namespace tails::ruleset {

/// Where the answer of a rule set can change. Two packets that lie between the same cuts in every respect, and are
/// equal in what has no cuts (protocol, interface, state …), get the same verdict: a million flows fall into a few
/// hundred such classes, and a proof needs few bits to tell all packets apart.
///
/// Invariants: each list is sorted and free of repetitions; a value that a NAT target names alone is a class alone.
struct Cuts {
  std::vector<IpAddress> addresses;  ///< First address of each class but the lowest; IPv4 before IPv6.
  std::vector<uint32_t> source_ports;
  std::vector<uint32_t> destination_ports;
  std::vector<uint32_t> uids;  ///< One of each kind of user that the rules tell apart, never empty.
  std::vector<uint32_t> gids;  ///< The same for groups.
  bool reads_connmark = false;
  /// Every rule's addresses are prefixes. Otherwise there are no classes of addresses.
  bool has_prefixes_only = true;
  /// What nat does to a new flow follows from the packet: no ranges to choose from, nothing unreadable.
  bool is_nat_certain = true;
};

/// Of the tables of one family, or of both.
Cuts cuts_of(const RuleSet& rules, std::optional<Family> family = std::nullopt);

/// First address after the last of `prefix`; nullopt where that is past the end.
std::optional<IpAddress> after(const Prefix& prefix);

/// The number of the class that `value` is in, from 0.
template <class T, class V>
size_t class_of(const std::vector<T>& cuts, const V& value) {
  size_t low = 0;
  size_t high = cuts.size();
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (value < cuts[middle]) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

}  // namespace tails::ruleset
