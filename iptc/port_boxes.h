#pragma once

#include <vector>

#include "ruleset/match.h"

namespace tails::iptc {

/// Source ports times destination ports.
struct PortBox {
  PortRange source;
  PortRange destination;
  friend bool operator==(const PortBox&, const PortBox&) = default;
};

/// What a multiport match lets through, as boxes of which no two share a packet: a packet that it matches is in exactly
/// one of them, any other in none. Empty where it matches nothing. Pure.
std::vector<PortBox> boxes_of(const ruleset::MultiportMatch& match);

}  // namespace tails::iptc
