#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fastpath/bench/stamp.h"
#include "net/flow_model.h"
#include "net/frame_builder.h"

namespace tails::fastpath::bench {

using flow_model::Side;

/// The other end of a frame's connection: what frames of one template differ by, beside their stamps.
struct Peer {
  uint32_t address = 0;   ///< IPv4, host byte order; the network's end.
  uint16_t own_port = 0;  ///< The machine's port.
};

/// A frame that is sent again and again, with another peer and stamp each time. What is wrong with it (a checksum, a
/// length) stays wrong in the same way. Immutable.
class FrameTemplate {
 public:
  /// `frame`: whole, with sound or unsound checksums; its last six bytes are the stamp's, and an even number of bytes
  /// lies before them. `from` says which end the peer is: the destination of frames from the inside.
  FrameTemplate(std::string name, Side from, std::vector<std::byte> frame);

  /// Writes the frame to `to`, which has room for `length()` bytes.
  void write(const Peer& peer, const Stamp& stamp, std::byte* to) const;
  [[nodiscard]] uint16_t length() const { return static_cast<uint16_t>(bytes_.size()); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Side from() const { return from_; }

  /// Whether `frame` is what `write` wrote, but for what a filter may change on its way: the stations, the type of
  /// service with the owner's tag, the time to live, and with those the header's checksum, which must be right.
  /// `written` is scratch memory for `length()` bytes.
  [[nodiscard]] bool is(wire::Bytes frame, const Peer& peer, const Stamp& stamp, std::byte* written) const;

 private:
  std::string name_;
  Side from_;
  std::vector<std::byte> bytes_;
  bool is_ipv4_ = false;
  // Offsets from the frame's beginning; 0: there is no such field.
  size_t ip_ = 0;
  size_t address_ = 0, port_ = 0;
  size_t ip_checksum_ = 0, transport_checksum_ = 0;
  // What the checksums are with zeros where frames differ: sums of words, not inverted.
  uint16_t ip_sum_ = 0, transport_sum_ = 0;
};

}  // namespace tails::fastpath::bench
