#pragma once

#include "net/address.h"
#include "proof/granularity.h"

/// Which variable of a diagram stands for which bit of a packet.
namespace tails::proof {

/// A number in a packet as variables, the most significant bit first: `first`, `first + stride`, …
struct Field {
  int first = 0;
  unsigned bits = 0;
  int stride = 1;
  const ValueClasses* classes = nullptr;  ///< Then the variables number a class of values, not a value.

  [[nodiscard]] constexpr int variable(unsigned bit) const { return first + static_cast<int>(bit) * stride; }
};

/// The order of the variables for one family. It decides how large diagrams become: what rules test together and what
/// selects among few cases comes first; a flow's recorded destination is interleaved with the packet's own, so that one
/// can take the other's place at no cost; the unknowns (matches nobody can read) are last.
struct Layout {
  /// `interface_bits`: enough for the number of interface classes, at least 1. Keeps pointers into `granularity`;
  /// without it every field has all its bits.
  Layout(Family family, unsigned interface_bits, const Granularity* granularity = nullptr);

  Field out;
  Field in;
  Field state;
  Field direction;
  Field has_recorded;  ///< Whether the packet's flow has a recorded destination.
  Field protocol;
  Field has_uid;
  Field uid;
  Field gid;
  Field destination;
  Field recorded_destination;
  Field destination_port;
  Field recorded_port;
  Field tcp_flags;
  Field source_port;
  Field source;
  Field icmp_type;
  Field icmp_code;
  Field later_fragment;
  Field destination_type;
  Field source_type;
  Field mark;
  Field connmark;
  Field dscp;
  Field status;
  int first_unknown = 0;
};

}  // namespace tails::proof
