#include "conntrack/flow.h"

#include <array>

namespace tails::conntrack {

std::string_view to_string(TcpState state) {
  static constexpr std::array<std::string_view, 10> kNames = {"NONE",     "SYN_SENT",   "SYN_RECV", "ESTABLISHED",
                                                              "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT",
                                                              "CLOSE",    "SYN_SENT2"};
  const auto index = static_cast<size_t>(state);
  return index < kNames.size() ? kNames[index] : kNames[0];
}

bool FlowFilter::matches(const Flow& flow) const {
  if (to && !to->contains(flow.original.destination.address)) return false;
  if (from && !from->contains(flow.original.source.address)) return false;
  if (protocol && *protocol != flow.original.protocol) return false;
  if (mark && !mark->matches(flow.mark)) return false;
  if (zone && *zone != flow.zone.id) return false;
  if (family && *family != flow.original.family()) return false;
  return true;
}

}  // namespace tails::conntrack
