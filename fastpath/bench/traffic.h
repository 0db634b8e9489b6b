#pragma once

#include <array>
#include <optional>
#include <vector>

#include "fastpath/bench/frame_template.h"
#include "fastpath/judge.h"
#include "net/result.h"

/// The frames of a bench: what a policy lets through, what it does not, and what no policy may. Which is which the slow
/// judge says (`Judge`: the reference evaluator and the plain book of flows), frame by frame, before anything is sent.
namespace tails::fastpath::bench {

/// What a frame is sent for.
enum class Purpose : uint8_t {
  kSegment,   ///< Of an open connection, by the machine.
  kAnswer,    ///< Of an open connection, by the network.
  kLeak,      ///< What the policy blocks: connections that the sender may not open, packets of no connection.
  kFragment,  ///< Part of a packet.
  kIllegal,   ///< What no policy lets through: damaged, truncated, not IPv4, forged.
  kFlood,     ///< A SYN of somebody who may, of a connection that goes no further. May pass while there is room for it.
  // A connection, from its first packet on.
  kSyn,
  kSynAck,
  kFirstAck,
  kReset,
};
inline constexpr size_t kPurposeCount = 10;

enum class Expected : uint8_t { kPasses, kBlocked, kEither };
constexpr Expected expected(Purpose purpose) {
  switch (purpose) {
    case Purpose::kLeak:
    case Purpose::kFragment:
    case Purpose::kIllegal: return Expected::kBlocked;
    case Purpose::kFlood: return Expected::kEither;
    default: return Expected::kPasses;
  }
}

/// Frames of one size for one policy. Immutable.
class Traffic {
 public:
  /// `frame_bytes`: of every frame, without the wire's checksum: even, 60..1514; a few need four more than 60.
  /// `preferred`: the tag whose connections these are to be, where it may open some. Fails with kRejected where the
  /// policy lets nobody open a TCP connection to the Internet.
  static Result<Traffic> make(const ruleset::RuleSet& rules, const WireView& view, size_t frame_bytes,
                              std::optional<uint8_t> preferred = std::nullopt);

  [[nodiscard]] const std::vector<FrameTemplate>& templates(Purpose purpose) const {
    return templates_[static_cast<size_t>(purpose)];
  }
  [[nodiscard]] size_t frame_bytes() const { return frame_bytes_; }
  /// Whose connections they are: "debian-tor".
  [[nodiscard]] const std::string& owner() const { return owner_; }

  /// The network's ends and the machine's ports: of connection `number`, of those that a bench opens to measure how
  /// fast that goes, of a flood, and of what belongs to no connection. None is in two of them.
  static Peer connection(uint32_t number) { return peer(kConnections, number); }
  static Peer short_lived(uint32_t number) { return peer(kShortLived, number); }
  static Peer flood(uint32_t number) { return peer(kFlood, number); }
  static Peer stranger(uint32_t number) {
    return {kConnections + number % 64, static_cast<uint16_t>(1000 + number % 8000)};
  }
  /// Connections that have numbers.
  static constexpr uint32_t kMostConnections = 50'000U * 0x4000;

 private:
  // RFC 2544 appendix C.2.2: 198.18.0.0/15 is for benches; the machine is in its lower half.
  static constexpr uint32_t kMachine = 0xC6120001, kConnections = 0xC6130000, kShortLived = 0xC6134000,
                            kFlood = 0xC6138000;
  static Peer peer(uint32_t first, uint32_t number) {
    return {first + number / 50'000, static_cast<uint16_t>(10'000 + number % 50'000)};
  }

  Traffic() = default;
  size_t frame_bytes_ = 0;
  std::string owner_;
  std::array<std::vector<FrameTemplate>, kPurposeCount> templates_;

  friend class TrafficBuilder;
};

}  // namespace tails::fastpath::bench
