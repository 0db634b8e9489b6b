#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "net/wire.h"

/// Frames in pieces, as senders and routers make them, and as nobody does.
namespace tails::fastpath {

using FrameBytes = std::vector<std::byte>;

/// What a fragment says of itself. `payload` is put behind the headers of the frame that it is made from.
struct Cut {
  size_t offset = 0;
  size_t bytes = 0;
  bool has_more = true;
};

inline void put_word(FrameBytes& frame, size_t at, size_t value) {
  frame[at] = static_cast<std::byte>(value >> 8 & 0xFF);
  frame[at + 1] = static_cast<std::byte>(value & 0xFF);
}

/// Where the frame's IPv4 header begins.
inline size_t ip_at(const FrameBytes& frame) { return wire::read_ethernet(frame)->header_bytes; }

inline void fix_header(FrameBytes& frame) {
  const size_t ip = ip_at(frame);
  const size_t header = 4 * (std::to_integer<size_t>(frame[ip]) & 15);
  put_word(frame, ip + 10, 0);
  put_word(frame, ip + 10, static_cast<uint16_t>(~wire::checksum_add(std::span(frame).subspan(ip, header))));
}

/// The payload of a sound, unfragmented IPv4 frame.
inline FrameBytes ip_payload(const FrameBytes& frame) {
  const size_t ip = ip_at(frame);
  const auto read = wire::read_ipv4(std::span(frame).subspan(ip), {false, false, 0});
  return {frame.begin() + static_cast<long>(ip + read.header_bytes),
          frame.begin() + static_cast<long>(ip + read.total_bytes)};
}

/// The frame's headers with that part of its payload; zeros beyond its end. Not padded.
inline FrameBytes cut(const FrameBytes& frame, const Cut& what, uint16_t id = 7) {
  const size_t ip = ip_at(frame);
  const size_t header = 4 * (std::to_integer<size_t>(frame[ip]) & 15);
  FrameBytes payload = ip_payload(frame);
  payload.resize(std::max(payload.size(), what.offset + what.bytes));
  FrameBytes piece(frame.begin(), frame.begin() + static_cast<long>(ip + header));
  piece.insert(piece.end(), payload.begin() + static_cast<long>(what.offset),
               payload.begin() + static_cast<long>(what.offset + what.bytes));
  put_word(piece, ip + 2, header + what.bytes);
  put_word(piece, ip + 4, id);
  put_word(piece, ip + 6, (what.has_more ? 0x2000U : 0U) | what.offset / 8);
  fix_header(piece);
  return piece;
}

/// The whole frame in pieces of at most `bytes` of payload, a multiple of eight, in order.
inline std::vector<FrameBytes> in_pieces(const FrameBytes& frame, size_t bytes, uint16_t id = 7) {
  std::vector<FrameBytes> pieces;
  const size_t whole = ip_payload(frame).size();
  for (size_t at = 0; at < whole; at += bytes) {
    const size_t now = std::min(bytes, whole - at);
    pieces.push_back(cut(frame, {at, now, at + now < whole}, id));
  }
  return pieces;
}

}  // namespace tails::fastpath
