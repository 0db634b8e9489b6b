#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "proof/chains.h"
#include "ruleset/rule_set.h"

/// Sets of packets as unions of boxes: what very many rules say that only part packets by user, destination and ports.
/// Where a diagram needs thousands of nodes a box is a few numbers.
namespace tails::proof {

/// Numbers `first` to `last`, both included; empty where `first` > `last`.
struct Interval {
  uint64_t first = 0;
  uint64_t last = 0;

  [[nodiscard]] bool is_empty() const { return first > last; }
  [[nodiscard]] Interval meet(const Interval& other) const {
    return {std::max(first, other.first), std::min(last, other.last)};
  }
  friend auto operator<=>(const Interval&, const Interval&) = default;
};

/// Packets of one family and protocol whose fields lie in all intervals.
struct Box {
  /// A packet without an owner, and a later fragment, which has no ports, are a number of their own behind the last
  /// one.
  static constexpr uint64_t kNoUser = uint64_t{1} << 32;
  static constexpr uint64_t kNoPort = uint64_t{kLastPort} + 1;

  Interval users{0, kNoUser};
  Prefix destination;
  Interval source_ports{0, kNoPort};
  Interval ports{0, kNoPort};  ///< Of the destination.

  /// Every packet of `family`.
  static Box all(Family family);
  /// The packets that have ports, and have them in these ranges.
  [[nodiscard]] Box with_ports(const PortRange& from, const PortRange& to) const;
  /// Nullopt where no packet is in both.
  [[nodiscard]] std::optional<Box> meet(const Box& other) const;

  friend bool operator==(const Box&, const Box&) = default;
};

/// The union of `boxes` in a form of which only one exists, as far as it is found: equal results are equal sets. Boxes
/// of other users or destinations are not compared. Nullopt where source ports part one user's packets in too many
/// ways.
std::optional<std::vector<Box>> canonical(std::vector<Box> boxes);

/// What a chain does that, with all it calls, does one thing to some packets and lets the others return.
struct PlainChain {
  ruleset::Target target;  ///< A verdict, or a jump to a chain that no packet comes out of.
  std::vector<Box> boxes;  ///< The packets, as a union.
};

/// Reads the chain `start`. `number`: the protocol of all packets that come to it, TCP or UDP; `has_owners`: whether
/// they may have an owner. Nullopt where the chain asks for anything else, where it is no such chain, or where that
/// cannot be seen in a few passes over its rules.
std::optional<PlainChain> read_plain_chain(const Chains& chains, size_t start, uint8_t number, bool has_owners);

}  // namespace tails::proof
