#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "fastpath/count.h"
#include "fastpath/flow_entry.h"
#include "fastpath/fragment.h"
#include "fastpath/wire_view.h"

namespace tails::fastpath {

/// What a reassembler has done since it started. Every fragment that it took is in a whole packet, dropped, or held.
struct FragmentCounts {
  Count taken;
  std::array<Count, kFragmentFaultCount> dropped{};  ///< By FragmentFault.
  Count whole;                                       ///< Fragments of packets that became whole.
  uint64_t packets = 0;                              ///< That became whole.
  uint64_t held = 0;                                 ///< Fragments that wait for the rest of theirs.
};

/// Puts fragmented packets together (RFC 791 section 3.2), so that what they are can be told before any part of them
/// passes. A stage of its own in front of the pipeline: it takes the fragments out of the stream and gives whole frames
/// instead, which are judged like any other; what passes leaves in the pieces in which it came, or in one.
///
/// Invariants: memory is what was allocated at the start. A packet that is not whole within 30 seconds of its first
/// fragment (the kernel's net.ipv4.ipfrag_time) is forgotten. No byte of a packet comes from two fragments. Fragments
/// of different owners (tags) or sides never meet. Nobody's fragments push out those of who has fewer. Pure: time is
/// given. One thread.
class Reassembler {
 public:
  struct Limits {
    size_t packets = 1024;      ///< Unfinished or refused ones, at most 65,535.
    size_t fragments = 2048;    ///< Held at a time.
    size_t frame_bytes = 2048;  ///< Of one fragment's frame.
    uint32_t timeout_seconds = 30;
  };
  /// Fragments of one packet: as many as its longest has where the link carries the 576 bytes of RFC 791.
  static constexpr size_t kMaxPieces = 128;
  /// A whole frame's length fits 16 bits, with its Ethernet header and a tag: so long is an IPv4 packet at most.
  static constexpr uint32_t kMaxPacketBytes = 65535 - 18;

  /// `source`: where the owner is told; it is part of what makes fragments belong together. `seed`: unpredictable.
  Reassembler(OwnerSource source, uint64_t seed, const Limits& limits);
  Reassembler(OwnerSource source, uint64_t seed) : Reassembler(source, seed, Limits()) {}

  /// Seconds from any start, never backwards.
  void set_time(uint64_t seconds);

  /// Takes the frame if it is a fragment: false where it is none, or damaged, and others have to judge it. `number` is
  /// the caller's name for it. The bytes are copied.
  bool take(Side from, wire::Bytes frame, uint64_t number = 0, const wire::ReadOptions& options = {});

  /// A packet that is whole.
  struct Whole {
    Side from = Side::kInside;
    /// As if it had come in one: its first fragment's Ethernet and IP header, right lengths and header checksum. The
    /// caller may write to it. At least Burst::kReadable bytes beyond its end may be read.
    std::span<std::byte> frame;
    size_t pieces = 0;        ///< In how many it came.
    size_t largest_ip = 0;    ///< The longest piece, from its IP header on.
    bool says_whole = false;  ///< Some piece says "don't fragment": as one it would not get through where they do.
    size_t kept_bytes = 0;    ///< Of `frame`, where a capture was cut; the rest are zeros. Else all.
  };
  [[nodiscard]] bool has_whole() const { return !ready_.empty(); }
  /// The next one, in the order in which they became whole; the one before is given up. Nullopt: no more.
  std::optional<Whole> next();
  /// The piece's frame as it leaves: in the order of the packet, without owner's tag, padded to 60 bytes. Of the last
  /// Whole; `out` has room for frame_bytes. Returns its length.
  size_t write_piece(size_t index, std::span<std::byte> out) const;
  [[nodiscard]] uint64_t piece_number(size_t index) const { return pieces_[whole_pieces_[index]].number; }

  /// Called for every fragment that is dropped, with its number.
  void when_dropped(std::function<void(uint64_t number, FragmentFault fault)> tell) { tell_ = std::move(tell); }
  /// Drops all that is held: nothing more will come.
  void finish();

  [[nodiscard]] const FragmentCounts& counts() const { return counts_; }

 private:
  using Index = uint32_t;
  static constexpr Index kNone = ~Index{0};
  /// Who holds what: each inside tag, and the outside, which is the last.
  static constexpr size_t kHolders = 65;

  struct Key {
    uint64_t ends = 0;  ///< Source and destination.
    uint64_t rest = 0;  ///< Id, protocol, side, tag.
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Piece {
    Fragment fragment;
    Index next = kNone;  ///< Of the same packet, by offset; or the next free one.
    uint64_t number = 0;
    uint32_t frame_bytes = 0;  ///< On the wire.
  };
  struct Packet {
    Key key;
    Index next_in_bucket = kNone;  ///< Or the next free one.
    Index older = kNone;           ///< Of the same holder.
    Index newer = kNone;
    uint8_t holder = 0;
    std::optional<FragmentFault> refused;  ///< Then it holds nothing and waits for its time to be over.
    uint64_t begun = 0;
    Index first_piece = kNone;
    size_t pieces = 0;
    uint32_t received = 0;        ///< Bytes of payload.
    std::optional<uint32_t> end;  ///< Of the payload, once the last fragment is there.
    uint32_t furthest = 0;        ///< The end of the fragment that reaches furthest.
    uint8_t ecn_seen = 0;         ///< Bit per codepoint.
  };
  struct Line {
    Index oldest = kNone;
    Index newest = kNone;
    size_t packets = 0;
    size_t pieces = 0;
  };

  [[nodiscard]] Key key_of(Side from, const Fragment& fragment) const;
  [[nodiscard]] size_t bucket_of(const Key& key) const;
  [[nodiscard]] Index find(const Key& key) const;
  [[nodiscard]] std::optional<FragmentFault> fault_of(const Packet& packet, const Fragment& fragment,
                                                      wire::Bytes frame) const;
  [[nodiscard]] std::optional<FragmentFault> overlap_of(const Packet& packet, const Fragment& fragment,
                                                        wire::Bytes frame) const;
  [[nodiscard]] std::byte* bytes_of(Index piece) { return memory_.get() + size_t{piece} * limits_.frame_bytes; }
  [[nodiscard]] const std::byte* bytes_of(Index piece) const {
    return memory_.get() + size_t{piece} * limits_.frame_bytes;
  }
  Index begin_packet(const Key& key, size_t holder);
  Index take_piece(Index for_packet);
  void insert(Packet& packet, Index piece);
  void drop(uint64_t number, size_t bytes, FragmentFault fault);
  void drop_pieces(Packet& packet, FragmentFault fault);
  void refuse(Packet& packet, FragmentFault fault);
  void unlink(Index at);
  void forget(Index at, FragmentFault fault);

  OwnerSource source_;
  Limits limits_;
  HashSeeds seeds_;
  uint64_t now_ = 0;
  std::unique_ptr<std::byte[]> memory_;  ///< A place for each piece's frame.
  std::vector<Piece> pieces_;
  std::vector<Packet> packets_;
  std::vector<Index> buckets_;
  Index free_piece_ = kNone;
  Index free_packet_ = kNone;
  std::array<Line, kHolders> lines_{};
  std::vector<Index> ready_;         ///< Whole packets that nobody asked for yet. Not in a bucket or a line.
  std::vector<Index> whole_pieces_;  ///< Of the one that was given last; its packet is free already.
  std::vector<std::byte> whole_;
  std::function<void(uint64_t, FragmentFault)> tell_;
  FragmentCounts counts_;
};

}  // namespace tails::fastpath
