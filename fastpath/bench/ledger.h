#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fastpath/bench/schedule.h"

namespace tails::fastpath::bench {

/// What became of a trial's frames.
struct Tally {
  uint64_t sent = 0;
  uint64_t expected = 0;   ///< Of those sent: must pass.
  uint64_t forbidden = 0;  ///< Must not.
  uint64_t passed = 0;     ///< Of the expected, once each.
  uint64_t leaked = 0;     ///< Forbidden ones that came, and frames that nobody sent so.
  uint64_t duplicated = 0;
  uint64_t reordered = 0;                 ///< Came after a later frame of the same connection and direction (RFC 4737).
  uint64_t damaged = 0;                   ///< Ours, but not as it was sent.
  uint64_t late = 0;                      ///< Of an earlier trial.
  uint64_t foreign = 0;                   ///< Of somebody else: not ours to judge.
  std::map<std::string, uint64_t> leaks;  ///< By the name of what leaked.

  [[nodiscard]] uint64_t lost() const { return expected - passed; }
  [[nodiscard]] double loss_ratio() const {
    return expected == 0 ? 0 : static_cast<double>(lost()) / static_cast<double>(expected);
  }
  void add(const Tally& other);
};

/// Keeps count of which numbers came. One trial after the other; memory is kept from one to the next. One thread.
class Ledger {
 public:
  /// Schedules outlive this.
  explicit Ledger(const Schedule& schedule);

  /// From the next trial on another schedule says what the numbers are. Earlier ones stay what they were: a frame that
  /// comes late is judged as what it was sent for.
  void follow(const Schedule& schedule) { schedule_ = &schedule; }
  /// The one by which that number was, or will be, sent.
  [[nodiscard]] const Schedule& schedule_of(uint32_t sequence) const;

  /// A trial of `count` frames from number `first` on. What comes of earlier numbers from now on is late.
  void begin(uint32_t first, uint32_t count);
  /// The number was sent. In order.
  void sent(uint32_t sequence);
  /// A frame with that number came; `is_whole`: as it was sent.
  void arrived(uint32_t sequence, bool is_whole);
  void arrived_foreign() { ++tally_.foreign; }

  /// Everything that must come has come.
  [[nodiscard]] bool is_complete() const { return tally_.passed == tally_.expected; }
  [[nodiscard]] const Tally& tally() const { return tally_; }
  /// Numbers of frames that must come and did not: at most `most` of them, spread over all.
  [[nodiscard]] std::vector<uint32_t> missing(size_t most) const;

 private:
  void leaked(uint32_t sequence);

  struct Era {
    uint32_t first;  ///< Number.
    const Schedule* schedule;
  };

  const Schedule* schedule_;
  std::vector<Era> eras_;  ///< Oldest first.
  uint32_t first_ = 0;
  uint32_t count_ = 0;
  std::vector<uint8_t> times_;  ///< By number: how often it came, at most 255.
  /// By direction and connection: one more than the trial's latest frame that came, as a place in the trial.
  std::array<std::vector<uint32_t>, 2> latest_;
  Tally tally_;
};

}  // namespace tails::fastpath::bench
