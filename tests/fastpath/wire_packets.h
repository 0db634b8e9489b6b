#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fastpath/wire_view.h"
#include "net/packet.h"
#include "ruleset/rule_set.h"
#include "tests/policy/dice.h"

namespace tails::fastpath {

/// A packet as the wire shows it, with what tag and flow table say.
struct WirePacket {
  Side from = Side::kInside;
  uint8_t owner = 0;
  Packet seen;
};

/// For a failure's message.
std::string describe(const WirePacket& packet);

/// Packets around the addresses and ports that a rule set names, both directions, all owners of the view, every state.
class WirePackets {
 public:
  /// Keeps a reference to `view`.
  WirePackets(const ruleset::RuleSet& rules, const WireView& view, uint64_t seed);
  WirePacket next();

  [[nodiscard]] const std::vector<uint32_t>& addresses() const { return addresses_; }
  [[nodiscard]] const std::vector<Port>& ports() const { return ports_; }

 private:
  void learn(const ruleset::Rule& rule);
  uint8_t owner(Side from);
  uint32_t address() { return dice_.chance(85) ? dice_.pick(addresses_) : static_cast<uint32_t>(dice_.bits()); }
  Port port() { return dice_.chance(85) ? dice_.pick(ports_) : static_cast<Port>(dice_.bits()); }

  testing::Dice dice_;
  const WireView& view_;
  std::vector<uint32_t> addresses_;
  std::vector<Port> ports_;
};

}  // namespace tails::fastpath
