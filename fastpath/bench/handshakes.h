#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "fastpath/bench/traffic.h"

namespace tails::fastpath::bench {

/// Opens many connections, so many at once: says which frame is to be sent next, and is told which came. Each frame
/// waits for the one before it, one that does not come is sent again. Pure: time is passed in, in any unit.
class Handshakes {
 public:
  enum class Step : uint8_t { kSyn, kSynAck, kAck, kReset };
  static constexpr unsigned kSteps = 4;

  struct Settings {
    uint32_t first = 0;        ///< The first connection's number; the others follow.
    uint32_t count = 1;        ///< At most 2^30, with `first`.
    unsigned window = 1024;    ///< How many are under way at once.
    Step from = Step::kSyn;    ///< kAck: only asks of connections that are open whether they still are.
    Step until = Step::kAck;   ///< kReset: closes each when it is open.
    uint64_t patience = 0;     ///< How long a frame is waited for.
    unsigned most_tries = 10;  ///< Then the connection has failed.
  };
  struct Frame {
    uint32_t number = 0;
    Step step = Step::kSyn;
    /// As a stamp's sequence number, and back.
    [[nodiscard]] uint32_t sequence() const { return number << 2 | static_cast<uint32_t>(step); }
    static Frame of(uint32_t sequence) { return {sequence >> 2, static_cast<Step>(sequence & 3)}; }
    friend bool operator==(const Frame&, const Frame&) = default;
  };

  explicit Handshakes(const Settings& settings);

  /// The frame to send now; nothing while there is none. Once it was asked for, it counts as sent.
  std::optional<Frame> next(uint64_t now);
  void arrived(const Frame& frame);
  /// No more connections are begun.
  void stop() { count_ = begun_; }

  [[nodiscard]] bool is_over() const { return begun_ == count_ && under_way_ == 0; }
  [[nodiscard]] uint32_t done() const { return done_; }
  [[nodiscard]] uint32_t failed() const { return failed_; }
  /// How many from the first on, without a gap, have not failed.
  [[nodiscard]] uint32_t whole() const { return whole_; }
  [[nodiscard]] uint64_t sent_again() const { return sent_again_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }

  static Purpose purpose(Step step);

 private:
  struct Slot {
    uint32_t number = 0;
    Step step = Step::kSyn;
    bool is_taken = false;
    bool is_waiting = false;  ///< Its frame is under way, since:
    uint64_t since = 0;
    unsigned tries = 0;
  };
  void look_for_lost(uint64_t now);
  void begin();

  Settings settings_;
  std::vector<Slot> slots_;     ///< Connection n has slot n % window.
  std::deque<unsigned> ready_;  ///< Slots with a frame to send.
  uint64_t looked_ = 0;
  uint32_t count_;
  uint32_t begun_ = 0;
  uint32_t under_way_ = 0;
  uint32_t done_ = 0;
  uint32_t failed_ = 0;
  uint32_t whole_;
  uint64_t sent_again_ = 0;
};

}  // namespace tails::fastpath::bench
