// Everything at once, on a machine behind the wire filter (tests/kernel/wire_filter.h): ten `apply` that put two
// policies in force in turn, ten `reconfigure`, `netns up` and `down`, another program's `iptables -w`, a storm of
// connections, programs that try what is forbidden, frames that no program could send, and the filter's policy swapped.
//
// Two captures are the judges: `inside`, where the machine's cable ends, of what the kernel lets out; `wire0` of what
// the filter lets through.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/kernel/foreign_rules.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/shared_memory.h"
#include "tests/kernel/traffic.h"
#include "tests/kernel/wire_filter.h"

namespace tails::testbed {

/// What came of it.
struct SoakFindings {
  std::map<std::string, size_t> out_of_the_kernel;   ///< Forbidden frames on the machine's cable, by whose they are.
  std::map<std::string, size_t> through_the_filter;  ///< Forbidden frames on the network's.
  size_t unseen_frames = 0;                          ///< The judges had no room for.
  std::vector<std::string> lost_updates;             ///< Rules of the other program's, each with what is wrong.
  std::vector<std::string> stood_still;              ///< Who ended nothing for longer than the patience.
  std::vector<std::string> failures;                 ///< Runs that ended otherwise than they should.
  std::vector<std::string> growth;                   ///< What needs more memory at the end than in the midst.
};

/// Whether the most that a thing took in the second half of its time is more than what it took in the first one, and a
/// tenth of it, and `slack`. KiB.
bool has_grown(size_t first_half, size_t second_half, size_t slack);

class Soak : public WireFilter {
 protected:
  static constexpr size_t kAppliers = 10, kReconfigurers = 10;
  static constexpr size_t kWorkers = kAppliers + kReconfigurers + 1;
  static constexpr size_t kForbidden = 4;

  /// One of ours, which runs again and again; times are of the steady clock.
  struct Worker {
    std::atomic<uint64_t> runs{0};
    std::atomic<int64_t> ended_ms{0};  ///< When the last run came to its end.
    std::atomic<size_t> most_kib{0};   ///< The most memory of a run, or of the worker that forked it.
  };
  struct Shared {
    std::array<Worker, kWorkers> workers{};
    EditLog log;
    std::array<std::atomic<uint32_t>, kMostEdits> named{};  ///< In how many outcomes of ours each edit was.
    std::array<std::atomic<uint64_t>, kForbidden> attempts{};
    std::atomic<uint64_t> stormed{0}, streamed{0}, rogue{0};
    std::atomic<bool> shall_end{false};
  };

  void SetUp() override;
  /// Makes the machine, has the judges see what they are to find later, puts policy and filter in force, starts all.
  void begin(std::chrono::milliseconds patience);
  /// Goes on for that long, with a look at everything each few milliseconds.
  void go_on(std::chrono::milliseconds duration);
  /// Ends all of them, and gives account.
  void finish();

  void set_patience(std::chrono::milliseconds patience) { patience_ = patience; }

  /// The filter's policy: what it grants the user clearnet by UDP.
  void write_filter_policy(const std::string& clearnet_udp);
  [[nodiscard]] SoakFindings& findings() { return findings_; }

  const SharedMemory<Shared> shared_;

 private:
  std::string work(Worker& me, size_t number);
  std::vector<std::string> next_words(size_t worker, size_t round) const;
  static std::string name_of(size_t worker);
  Result<std::string> put_rogue_frames();
  void judge();
  void swap_policy();
  void watch_progress();
  void take_samples(bool is_second_half);
  void give_account_of_edits();

  std::chrono::milliseconds patience_{};
  std::optional<Wire> cable_;
  std::vector<InBackground> workers_;
  std::vector<InBackground> senders_;
  std::optional<InBackground> editor_, server_, client_;
  SoakFindings findings_;
  size_t swaps_ = 0;
  std::chrono::steady_clock::time_point swapped_{};
  std::array<size_t, 2> filter_kib_{}, workers_kib_{}, files_kib_{};
};

}  // namespace tails::testbed
