#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fastpath/captured_frame.h"
#include "fastpath/judge.h"
#include "fastpath/reassembly.h"

/// What a capture shows, by the policy. Pure.
namespace tails::fastpath {

/// Which frames of a capture the machine sent.
struct Inside {
  std::set<wire::MacAddress> stations;
  std::optional<Prefix> network;  ///< IPv4; for captures without stations, and where a person gave it.
  bool trusts_capture = true;     ///< What the capture itself says comes first.

  [[nodiscard]] Side side_of(const CapturedFrame& frame) const;
};

/// Learns from the frames of a capture who is who.
class StationBook {
 public:
  void learn(const CapturedFrame& frame);

  /// The machine that sends from `network`; its stations are those seen doing so.
  [[nodiscard]] Inside sending_from(const Prefix& network) const;
  /// The station that most frames come from or go to: on a machine's own link that is the machine. Of two that talk
  /// only with each other it is the one that speaks for fewer addresses, for the other is a router; of the same number,
  /// the one that spoke first. Nullopt where no frame says.
  [[nodiscard]] std::optional<Inside> busiest() const;
  /// The first IPv4 address that a station sent from; empty where it never did.
  [[nodiscard]] std::optional<IpAddress> address_of(const wire::MacAddress& station) const;
  /// Whether the capture itself says of every frame where it came from.
  [[nodiscard]] bool is_told() const { return is_told_; }

 private:
  struct Station {
    uint64_t frames = 0;
    uint64_t first_sent = ~uint64_t{0};  ///< Number of its first frame.
    std::vector<IpAddress> addresses;    ///< It sent from; at most a few, in their order.
  };
  std::map<wire::MacAddress, Station> stations_;
  std::map<IpAddress, uint64_t> addresses_;  ///< Frames from and to, where there are no stations.
  uint64_t frames_ = 0;
  bool is_told_ = true;
};

/// What a frame of a capture is.
enum class Finding : uint8_t {
  kPasses,
  kLeak,        ///< The machine sent it, and the filter would not have let it through.
  kDropped,     ///< The network sent it, and the filter would have dropped it.
  kLink,        ///< ARP, DHCP, discovery of neighbours and routers: belongs to the link and to no user.
  kCannotTell,  ///< The capture does not hold enough of it.
  kLoopback,    ///< Never was on a wire.
};
inline constexpr size_t kFindingCount = 6;
/// "leak", "cannot tell".
std::string_view name(Finding finding);

/// Judges a capture, frame after frame.
class Replay {
 public:
  struct Options {
    bool any_owner = false;  ///< A frame passes if anyone could have sent it; its tag is not looked at.
    bool checksums = false;
    bool reassembles = false;  ///< Fragments are judged as what they make; else each is a leak by itself.
    Reassembler::Limits limits{.frame_bytes = 10'000};  ///< As the filter has it, but for links with longer frames.
  };
  struct Entry {
    uint64_t number = 0;  ///< Of the frame, from 1.
    Finding finding = Finding::kCannotTell;
    Side from = Side::kInside;
    Judge::Ruling ruling;  ///< Where rules or the shape of the frame decided.
    std::string reason;  ///< In words, where that is more than the ruling: "truncated at 60 bytes", "router discovery".
  };

  /// `rules` outlive this.
  Replay(const ruleset::RuleSet& rules, WireView view, Inside inside, Options options);

  /// Frames in the capture's order; a clock that goes back is taken as standing still. What is said of which frame: of
  /// this one, unless it is a fragment that waits for others, and of earlier ones that waited until now.
  std::vector<Entry> judge(const CapturedFrame& frame);
  /// At the end: of what still waits.
  std::vector<Entry> finish();

 private:
  [[nodiscard]] Entry examine(Side from, const CapturedFrame& frame);
  Judge::Ruling rule(Side from, const CapturedFrame& frame);
  void make_reassembler();
  void judge_whole_packets(std::vector<Entry>& entries);

  WireView view_;
  Judge judge_;
  Inside inside_;
  Options options_;
  uint64_t now_ = 0;
  uint64_t number_ = 0;
  std::vector<std::byte> copy_;
  std::optional<Reassembler> reassembler_;
  std::map<uint64_t, Side> waiting_;                         ///< Fragments whose fate is open, by number.
  std::vector<std::pair<uint64_t, FragmentFault>> dropped_;  ///< Since the last look.
};

}  // namespace tails::fastpath
