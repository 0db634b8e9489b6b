#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "leaktest/attempt.h"
#include "leaktest/bed.h"
#include "leaktest/matrix.h"
#include "leaktest/plan.h"
#include "leaktest/wire.h"

namespace tails::leaktest {

/// Whose a packet is that was seen, and what that says of the attempt. A case is named by the token in its packets,
/// else by its source port, which no other case of its round has. Knows no sockets: frames are given to it.
class Sightings {
 public:
  /// The three must outlive it.
  Sightings(const policy::Policy& policy, const Plan& plan, const Bed& bed);

  /// From now on ports are those of this round's cases.
  void begin_round(unsigned round);
  /// A packet that was seen at `place`: "outside", "lo" or a guest.
  void see(std::string_view place, const Frame& frame);
  /// What the program says.
  void hear(const Fate& fate);
  /// All cases judged; and what left the machine and was nobody's.
  Matrix judge() &&;

 private:
  [[nodiscard]] std::optional<uint32_t> case_of(const Frame& frame) const;
  void note(Outcome& outcome, std::string_view place, const Frame& frame) const;
  static void note_answer(Outcome& outcome, std::string_view place);
  void note_nobody(const Frame& frame);

  const policy::Policy& policy_;
  const Plan& plan_;
  const Bed& bed_;
  Matrix matrix_;
  std::map<Port, uint32_t> by_port_;
  std::map<Port, uint32_t> before_;  ///< Of the round before.
};

}  // namespace tails::leaktest
