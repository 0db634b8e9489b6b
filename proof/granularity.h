#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "net/address.h"
#include "policy/policy.h"
#include "ruleset/rule_set.h"

/// How finely a proof looks at numbers. Two ports that no rule and no entry of the policy tells apart share their fate,
/// so a proof that only says yes or no needs a bit for each halving of the classes of ports, not sixteen: diagrams
/// become several times smaller. Examples and differences need the numbers themselves.
namespace tails::proof {

/// A value of a field, as wide as an IPv6 address.
struct Number {
  uint64_t high = 0;
  uint64_t low = 0;

  static Number of(const IpAddress& address) { return {address.high, address.low}; }
  friend auto operator<=>(const Number&, const Number&) = default;
};

/// The values of one field, cut into intervals.
class ValueClasses {
 public:
  /// Each value of `starts` begins a class, and so does 0. `last`: the largest value of the field.
  ValueClasses(std::vector<Number> starts, const Number& last);

  [[nodiscard]] size_t size() const { return starts_.size(); }
  /// Bits that number every class, at least 1.
  [[nodiscard]] unsigned bits() const;
  /// The first and the last class of the values `first` to `last`. Nullopt where these are no whole classes.
  [[nodiscard]] std::optional<std::pair<size_t, size_t>> whole(const Number& first, const Number& last) const;

 private:
  std::vector<Number> starts_;  ///< Sorted, each once; the first is 0.
  Number last_;
};

/// The classes of every field that has them.
struct Granularity {
  ValueClasses addresses;  ///< Of both ends.
  ValueClasses uids;
  ValueClasses gids;
  ValueClasses source_ports;
  ValueClasses destination_ports;
  ValueClasses protocols;

  /// Whether the policy's [[service]] entries count: not where they are cut out (see service_cut.h).
  enum class Services : uint8_t { kWith, kWithout };

  /// What `rules` and `policy` tell apart of one family. Should something be missing, PacketSpace::is_too_coarse says
  /// so: nothing is proved then, and nothing wrong.
  static Granularity of(Family family, const ruleset::RuleSet& rules, const policy::Policy& policy,
                        Services services = Services::kWith);
};

}  // namespace tails::proof
