#include "iptc/port_boxes.h"

#include <algorithm>

namespace tails::iptc {
namespace {

/// The same ports as ranges that do not meet, in order.
std::vector<PortRange> merged(std::vector<PortRange> ranges) {
  // The kernel compares "first <= port && port <= last": a range that is upside down holds nothing.
  std::erase_if(ranges, [](const PortRange& range) { return range.first > range.last; });
  std::ranges::sort(ranges);
  std::vector<PortRange> result;
  for (const PortRange& range : ranges) {
    if (!result.empty() && range.first <= result.back().last) {
      result.back().last = std::max(result.back().last, range.last);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

/// All other ports. `ranges` as `merged` gives them.
std::vector<PortRange> complement(const std::vector<PortRange>& ranges) {
  std::vector<PortRange> result;
  unsigned next = 0;
  for (const PortRange& range : ranges) {
    if (range.first > next) result.push_back({static_cast<Port>(next), static_cast<Port>(range.first - 1)});
    next = range.last + 1U;
  }
  if (next <= kLastPort) result.push_back({static_cast<Port>(next), kLastPort});
  return result;
}

}  // namespace

std::vector<PortBox> boxes_of(const ruleset::MultiportMatch& match) {
  using Side = ruleset::MultiportMatch::Side;
  const std::vector<PortRange> named = merged(match.ports);
  const std::vector<PortRange> others = complement(named);
  const std::vector<PortRange>& wanted = match.inverted ? others : named;
  std::vector<PortBox> boxes;
  if (match.side == Side::kDestination) {
    for (const PortRange& range : wanted) boxes.push_back({{}, range});
  } else if (match.side == Side::kSource || !match.inverted) {
    for (const PortRange& range : wanted) boxes.push_back({range, {}});
  }
  if (match.side == Side::kEither) {
    // Either port is named: the source is, or it is not and the destination is. Inverted: neither is.
    for (const PortRange& source : others) {
      for (const PortRange& destination : wanted) boxes.push_back({source, destination});
    }
  }
  return boxes;
}

}  // namespace tails::iptc
