#include "ruleset/traversal.h"

#include <array>

namespace tails::ruleset {
namespace {

using enum TableName;
constexpr std::array kOutputWay = {Stop{kRaw, "OUTPUT"},     Stop{kMangle, "OUTPUT"},   Stop{kNat, "OUTPUT"},
                                   Stop{kFilter, "OUTPUT"},  Stop{kSecurity, "OUTPUT"}, Stop{kMangle, "POSTROUTING"},
                                   Stop{kNat, "POSTROUTING"}};
constexpr std::array kInputWay = {Stop{kRaw, "PREROUTING"}, Stop{kMangle, "PREROUTING"}, Stop{kNat, "PREROUTING"},
                                  Stop{kMangle, "INPUT"},   Stop{kFilter, "INPUT"},      Stop{kSecurity, "INPUT"},
                                  Stop{kNat, "INPUT"}};
constexpr std::array kForwardWay = {
    Stop{kRaw, "PREROUTING"}, Stop{kMangle, "PREROUTING"}, Stop{kNat, "PREROUTING"},     Stop{kMangle, "FORWARD"},
    Stop{kFilter, "FORWARD"}, Stop{kSecurity, "FORWARD"},  Stop{kMangle, "POSTROUTING"}, Stop{kNat, "POSTROUTING"}};

}  // namespace

std::span<const Stop> way_of(Hook hook) {
  switch (hook) {
    case Hook::kOutput: return kOutputWay;
    case Hook::kInput: return kInputWay;
    case Hook::kForward: return kForwardWay;
  }
  return kOutputWay;
}

bool is_destination_nat(const Stop& stop) {
  return stop.table == kNat && (stop.chain == "OUTPUT" || stop.chain == "PREROUTING");
}

}  // namespace tails::ruleset
