#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "fastpath/kinds.h"
#include "fastpath/ranges.h"
#include "fastpath/wire_view.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::fastpath {

/// A set of packets: those whose every field lies in the field's set.
struct Condition {
  uint64_t owners = 0;  ///< Bit per owner tag.
  uint64_t kinds = 0;   ///< Bit per kind.
  uint8_t states = 0;   ///< Bit per StateIndex.
  Ranges<uint32_t> source;
  Ranges<uint32_t> destination;
  Ranges<uint16_t> source_port;
  Ranges<uint16_t> destination_port;

  [[nodiscard]] bool is_empty() const {
    return owners == 0 || kinds == 0 || states == 0 || source.is_empty() || destination.is_empty() ||
           source_port.is_empty() || destination_port.is_empty();
  }
  /// Keeps what `other` holds too.
  void intersect(const Condition& other);
};
inline constexpr uint8_t kAllStates = (1U << kStateCount) - 1;

/// From where rules are looked at: one hook, for the owners that meet it there.
struct Standpoint {
  Hook hook = Hook::kOutput;
  InterfaceName in;
  InterfaceName out;
  uint64_t owners = 1;             ///< Bit per owner tag: whose packets come this way.
  std::vector<Uid> uid_of;         ///< By tag; kInvalidId: no socket. Empty: nobody has one.
  std::optional<uint32_t> source;  ///< A guest's address, which the wire does not show.
  std::optional<uint32_t> destination;
};

/// The standpoints of packets that come from `from`: the machine itself, then each forwarded guest.
std::vector<Standpoint> standpoints(const WireView& view, Side from);

/// Whether a packet that comes this way can meet the rule at all, by its interfaces.
bool can_meet(const Standpoint& here, const ruleset::Rule& rule);

/// The packets that the rule matches from here: a union of sets, mostly one; none where it never matches.
/// Fails with the words for what the wire cannot tell: "a mark", "a rate limit".
Result<std::vector<Condition>, const char*> conditions(const Standpoint& here, const Kinds& kinds,
                                                       const ruleset::Rule& rule);

}  // namespace tails::fastpath
