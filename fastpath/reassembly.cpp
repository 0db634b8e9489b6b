#include "fastpath/reassembly.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "fastpath/big_endian.h"
#include "fastpath/flow_entry.h"
#include "fastpath/pipeline.h"

namespace tails::fastpath {
namespace {

constexpr size_t kMinFrame = 60;
constexpr size_t kOutside = 64;  ///< The holder of what comes from there.

void write_header_checksum(std::byte* ip, size_t bytes) {
  put16(ip + 10, 0);
  put16(ip + 10, static_cast<uint16_t>(~wire::checksum_add({ip, bytes})));
}

}  // namespace

Reassembler::Reassembler(OwnerSource source, uint64_t seed, const Limits& limits)
    : source_(source),
      limits_(limits),
      seeds_(HashSeeds::of(seed)),
      // Written before it is read: pages that no fragment needed are never touched.
      memory_(std::make_unique_for_overwrite<std::byte[]>(limits.fragments * limits.frame_bytes)),
      pieces_(limits.fragments),
      packets_(limits.packets),
      buckets_(std::bit_ceil(2 * limits.packets), kNone),
      whole_(kMaxPacketBytes + 18 + Burst::kReadable) {
  assert(limits.packets > 0 && limits.fragments > 0);
  for (size_t i = pieces_.size(); i > 0; --i) {
    pieces_[i - 1].next = free_piece_;
    free_piece_ = static_cast<Index>(i - 1);
  }
  for (size_t i = packets_.size(); i > 0; --i) {
    packets_[i - 1].next_in_bucket = free_packet_;
    free_packet_ = static_cast<Index>(i - 1);
  }
}

void Reassembler::set_time(uint64_t seconds) {
  if (seconds == now_) return;
  now_ = seconds;
  for (Line& line : lines_) {
    while (line.oldest != kNone && now_ - packets_[line.oldest].begun > limits_.timeout_seconds) {
      forget(line.oldest, FragmentFault::kTimeout);
    }
  }
}

bool Reassembler::take(Side from, wire::Bytes frame, uint64_t number, const wire::ReadOptions& options) {
  const auto fragment = read_fragment(frame, options);
  if (!fragment) return false;
  const size_t wire_bytes = std::max(options.wire_bytes, frame.size());
  counts_.taken.add(wire_bytes);
  const Key key = key_of(from, *fragment);
  Index at = find(key);
  if (at == kNone) {
    const uint8_t tag = source_ == OwnerSource::kVlan   ? static_cast<uint8_t>(fragment->vlan.value_or(0) & 63)
                        : source_ == OwnerSource::kDscp ? fragment->dscp
                                                        : uint8_t{0};
    at = begin_packet(key, from == Side::kOutside ? kOutside : tag);
  }
  if (at == kNone) {
    drop(number, wire_bytes, FragmentFault::kNoRoom);
    return true;
  }
  Packet& packet = packets_[at];
  if (packet.refused) {
    drop(number, wire_bytes, FragmentFault::kRefused);
    return true;
  }
  std::optional<FragmentFault> fault = fault_of(packet, *fragment, frame);
  Index piece = kNone;
  if (!fault && (piece = take_piece(at)) == kNone) fault = FragmentFault::kNoRoom;
  if (fault) {
    drop(number, wire_bytes, *fault);
    if (*fault != FragmentFault::kDuplicate) refuse(packet, *fault);
    return true;
  }
  pieces_[piece] = {*fragment, kNone, number, static_cast<uint32_t>(wire_bytes)};
  std::memcpy(bytes_of(piece), frame.data(), fragment->ethernet_bytes + fragment->ip_bytes + fragment->payload_kept);
  insert(packet, piece);
  if (packet.end && packet.received == *packet.end) {
    for (Index i = packet.first_piece; i != kNone; i = pieces_[i].next) counts_.whole.add(pieces_[i].frame_bytes);
    counts_.held -= packet.pieces;
    ++counts_.packets;
    unlink(at);
    ready_.push_back(at);
  }
  return true;
}

Reassembler::Key Reassembler::key_of(Side from, const Fragment& fragment) const {
  const bool has_tag = source_ == OwnerSource::kDscp && from == Side::kInside;
  return {uint64_t{fragment.source} << 32 | fragment.destination,
          uint64_t{fragment.id} | uint64_t{fragment.protocol} << 16 | static_cast<uint64_t>(from) << 24 |
              (fragment.vlan ? uint64_t{1} << 25 | uint64_t{*fragment.vlan} << 32 : 0) |
              (has_tag ? uint64_t{fragment.dscp} << 48 : 0)};
}

size_t Reassembler::bucket_of(const Key& key) const {
  return hash_of({key.ends, key.rest}, seeds_) & (buckets_.size() - 1);
}

Reassembler::Index Reassembler::find(const Key& key) const {
  Index at = buckets_[bucket_of(key)];
  while (at != kNone && packets_[at].key != key) at = packets_[at].next_in_bucket;
  return at;
}

/// Why the fragment cannot be part of the packet; nothing where it is to be put there.
std::optional<FragmentFault> Reassembler::fault_of(const Packet& packet, const Fragment& fragment,
                                                   wire::Bytes frame) const {
  if (fragment.payload_bytes == 0) return FragmentFault::kEmpty;
  if (fragment.has_more && fragment.payload_bytes % 8 != 0) return FragmentFault::kUneven;
  if (fragment.ip_bytes + fragment.end() > kMaxPacketBytes ||
      fragment.ethernet_bytes + fragment.ip_bytes + fragment.payload_kept > limits_.frame_bytes) {
    return FragmentFault::kTooLong;
  }
  if (fragment.offset == 0 && fragment.has_more &&
      fragment.payload_bytes < wire::transport_header_bytes(fragment.protocol)) {
    return FragmentFault::kTiny;
  }
  if (fragment.has_more) {
    if (packet.end && fragment.end() > *packet.end) return FragmentFault::kInconsistent;
  } else if ((packet.end && fragment.end() != *packet.end) || packet.furthest > fragment.end()) {
    return FragmentFault::kInconsistent;
  }
  const auto seen = static_cast<uint8_t>(packet.ecn_seen | 1U << fragment.ecn);
  if ((seen & 1) != 0 && seen != 1) return FragmentFault::kMixedEcn;
  if (const auto fault = overlap_of(packet, fragment, frame)) return fault;
  // The first header may be longer than this one's: all of its options stand there.
  const bool is_first = fragment.offset == 0;
  const size_t header =
      is_first || packet.first_piece == kNone ? fragment.ip_bytes : pieces_[packet.first_piece].fragment.ip_bytes;
  if (header + std::max(packet.furthest, fragment.end()) > kMaxPacketBytes) return FragmentFault::kTooLong;
  if (packet.pieces == kMaxPieces) return FragmentFault::kTooMany;
  return std::nullopt;
}

/// Whether some byte of the fragment is there already.
std::optional<FragmentFault> Reassembler::overlap_of(const Packet& packet, const Fragment& fragment,
                                                     wire::Bytes frame) const {
  for (Index at = packet.first_piece; at != kNone; at = pieces_[at].next) {
    const Fragment& other = pieces_[at].fragment;
    if (other.end() <= fragment.offset) continue;
    if (other.offset >= fragment.end()) return std::nullopt;
    if (fragment.offset < other.offset || fragment.end() > other.end()) return FragmentFault::kOverlap;
    if (fragment.end() == other.end() && fragment.has_more != other.has_more) return FragmentFault::kInconsistent;
    const uint32_t skipped = fragment.offset - other.offset;
    const uint32_t there = other.payload_kept - std::min(other.payload_kept, skipped);
    const bool is_same =
        std::memcmp(frame.data() + fragment.ethernet_bytes + fragment.ip_bytes,
                    bytes_of(at) + other.ethernet_bytes + other.ip_bytes + std::min(other.payload_kept, skipped),
                    std::min(there, fragment.payload_kept)) == 0;
    return is_same ? FragmentFault::kDuplicate : FragmentFault::kOverlap;
  }
  return std::nullopt;
}

void Reassembler::insert(Packet& packet, Index piece) {
  const Fragment& fragment = pieces_[piece].fragment;
  Index* link = &packet.first_piece;
  while (*link != kNone && pieces_[*link].fragment.offset < fragment.offset) link = &pieces_[*link].next;
  pieces_[piece].next = *link;
  *link = piece;
  ++packet.pieces;
  ++counts_.held;
  ++lines_[packet.holder].pieces;
  packet.received += fragment.payload_bytes;
  packet.furthest = std::max(packet.furthest, fragment.end());
  if (!fragment.has_more) packet.end = fragment.end();
  packet.ecn_seen |= static_cast<uint8_t>(1U << fragment.ecn);
}

Reassembler::Index Reassembler::begin_packet(const Key& key, size_t holder) {
  if (free_packet_ == kNone) {
    const Line& fullest = *std::ranges::max_element(lines_, {}, &Line::packets);
    if (fullest.oldest != kNone) forget(fullest.oldest, FragmentFault::kNoRoom);
  }
  if (free_packet_ == kNone) return kNone;  // All are whole and wait to be asked for.
  const Index at = free_packet_;
  Packet& packet = packets_[at];
  free_packet_ = packet.next_in_bucket;
  packet = Packet();
  packet.key = key;
  packet.begun = now_;
  packet.holder = static_cast<uint8_t>(holder);
  Index& bucket = buckets_[bucket_of(key)];
  packet.next_in_bucket = bucket;
  bucket = at;
  Line& line = lines_[holder];
  packet.older = line.newest;
  (line.newest == kNone ? line.oldest : packets_[line.newest].newer) = at;
  line.newest = at;
  ++line.packets;
  return at;
}

/// Room for a piece of that packet; kNone where only itself could make some.
Reassembler::Index Reassembler::take_piece(Index for_packet) {
  while (free_piece_ == kNone) {
    const Line& fullest = *std::ranges::max_element(lines_, {}, &Line::pieces);
    Index oldest = fullest.oldest;
    if (oldest == for_packet) oldest = packets_[oldest].newer;
    if (oldest == kNone) return kNone;
    forget(oldest, FragmentFault::kNoRoom);
  }
  const Index piece = free_piece_;
  free_piece_ = pieces_[piece].next;
  return piece;
}

void Reassembler::drop(uint64_t number, size_t bytes, FragmentFault fault) {
  counts_.dropped.at(static_cast<size_t>(fault)).add(bytes);
  if (tell_) tell_(number, fault);
}

void Reassembler::drop_pieces(Packet& packet, FragmentFault fault) {
  while (packet.first_piece != kNone) {
    const Index piece = packet.first_piece;
    packet.first_piece = pieces_[piece].next;
    drop(pieces_[piece].number, pieces_[piece].frame_bytes, fault);
    pieces_[piece].next = free_piece_;
    free_piece_ = piece;
  }
  counts_.held -= packet.pieces;
  lines_[packet.holder].pieces -= packet.pieces;
  packet.pieces = 0;
}

void Reassembler::refuse(Packet& packet, FragmentFault fault) {
  drop_pieces(packet, fault);
  packet.refused = fault;
}

/// Takes the packet out of its bucket and its line.
void Reassembler::unlink(Index at) {
  const Packet& packet = packets_[at];
  Index* link = &buckets_[bucket_of(packet.key)];
  while (*link != at) link = &packets_[*link].next_in_bucket;
  *link = packet.next_in_bucket;
  Line& line = lines_[packet.holder];
  (packet.older == kNone ? line.oldest : packets_[packet.older].newer) = packet.newer;
  (packet.newer == kNone ? line.newest : packets_[packet.newer].older) = packet.older;
  --line.packets;
  line.pieces -= packet.pieces;
}

void Reassembler::forget(Index at, FragmentFault fault) {
  drop_pieces(packets_[at], fault);
  unlink(at);
  packets_[at].next_in_bucket = free_packet_;
  free_packet_ = at;
}

void Reassembler::finish() {
  for (Line& line : lines_) {
    while (line.oldest != kNone) forget(line.oldest, FragmentFault::kUnfinished);
  }
}

std::optional<Reassembler::Whole> Reassembler::next() {
  for (const Index piece : whole_pieces_) {
    pieces_[piece].next = free_piece_;
    free_piece_ = piece;
  }
  whole_pieces_.clear();
  if (ready_.empty()) return std::nullopt;
  const Index at = ready_.front();
  ready_.erase(ready_.begin());
  Packet& packet = packets_[at];

  const Index head = packet.first_piece;
  const Fragment& first = pieces_[head].fragment;
  const size_t headers = first.ethernet_bytes + first.ip_bytes;
  Whole whole;
  whole.from = static_cast<Side>(packet.key.rest >> 24 & 1);
  whole.frame = std::span(whole_).first(headers + *packet.end);
  whole.pieces = packet.pieces;
  std::memcpy(whole_.data(), bytes_of(head), headers);
  bool is_cut = false;
  whole.kept_bytes = headers;
  for (Index i = head; i != kNone; i = pieces_[i].next) {
    const Fragment& fragment = pieces_[i].fragment;
    std::byte* to = whole_.data() + headers + fragment.offset;
    std::memcpy(to, bytes_of(i) + fragment.ethernet_bytes + fragment.ip_bytes, fragment.payload_kept);
    std::memset(to + fragment.payload_kept, 0, fragment.payload_bytes - fragment.payload_kept);
    if (!is_cut) whole.kept_bytes += fragment.payload_kept;
    is_cut = is_cut || fragment.payload_kept < fragment.payload_bytes;
    whole.says_whole = whole.says_whole || fragment.says_whole;
    whole.largest_ip = std::max(whole.largest_ip, fragment.ip_bytes + fragment.payload_bytes);
    whole_pieces_.push_back(i);
  }
  std::byte* ip = whole_.data() + first.ethernet_bytes;
  constexpr unsigned kCongestion = 3;
  if ((packet.ecn_seen >> kCongestion & 1) != 0) ip[1] |= std::byte{kCongestion};
  put16(ip + 2, static_cast<uint32_t>(first.ip_bytes + *packet.end));
  put16(ip + 6, whole.says_whole ? 0x4000 : 0);
  write_header_checksum(ip, first.ip_bytes);

  packet.next_in_bucket = free_packet_;
  free_packet_ = at;
  return whole;
}

size_t Reassembler::write_piece(size_t index, std::span<std::byte> out) const {
  const Index at = whole_pieces_[index];
  const Fragment& fragment = pieces_[at].fragment;
  const std::byte* frame = bytes_of(at);
  constexpr size_t kStations = 12, kEthernet = 14;
  const size_t packet_bytes = fragment.ip_bytes + fragment.payload_kept;
  const size_t length = std::max(kEthernet + packet_bytes, kMinFrame);
  assert(out.size() >= length);
  std::memcpy(out.data(), frame, kStations);
  put16(out.data() + kStations, wire::kTypeIpv4);
  std::byte* ip = out.data() + kEthernet;
  std::memcpy(ip, frame + fragment.ethernet_bytes, packet_bytes);
  std::memset(ip + packet_bytes, 0, length - kEthernet - packet_bytes);
  if (source_ == OwnerSource::kDscp) {
    ip[1] &= std::byte{3};
    write_header_checksum(ip, fragment.ip_bytes);
  }
  return length;
}

}  // namespace tails::fastpath
