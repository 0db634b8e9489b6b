#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "net/result.h"
#include "ruleset/rule_set.h"

namespace tails::fastpath {

/// Sorts packets into kinds by protocol, TCP flags, ICMP type and code, as finely as the rules look and no finer:
/// packets of one kind look the same to every rule but for addresses, ports, owner and state. At most 64 kinds.
class Kinds {
 public:
  static constexpr unsigned kMax = 64;

  /// One packet of a kind.
  struct Example {
    uint8_t protocol = 0;
    uint8_t tcp_flags = 0;
    uint8_t icmp_type = 0;
    uint8_t icmp_code = 0;
  };

  /// Fails with kRejected when the rules tell apart more than 64 kinds.
  static Result<Kinds> of(const ruleset::Table& filter);

  /// The fields that the protocol does not have are not looked at.
  [[nodiscard]] uint8_t kind(uint8_t protocol, uint8_t tcp_flags, uint8_t icmp_type, uint8_t icmp_code) const {
    if (protocol == protocol::kTcp) return tcp_[tcp_flags];
    if (protocol == protocol::kIcmp && !icmp_.empty()) return icmp_[icmp_type * size_t{256} + icmp_code];
    return other_[protocol];
  }
  [[nodiscard]] const std::vector<Example>& examples() const { return examples_; }
  /// Bits 0 .. number of kinds - 1.
  [[nodiscard]] uint64_t all() const {
    return examples_.size() == 64 ? ~uint64_t{0} : (uint64_t{1} << examples_.size()) - 1;
  }

 private:
  std::array<uint8_t, 256> tcp_{};    ///< By flags.
  std::array<uint8_t, 256> other_{};  ///< By protocol.
  std::vector<uint8_t> icmp_;         ///< By type and code; empty where no rule looks at them.
  std::vector<Example> examples_;
};

}  // namespace tails::fastpath
