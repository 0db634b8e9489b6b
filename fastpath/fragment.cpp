#include "fastpath/fragment.h"

namespace tails::fastpath {

std::optional<Fragment> read_fragment(wire::Bytes frame, const wire::ReadOptions& options) {
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet || ethernet->type != wire::kTypeIpv4) return std::nullopt;
  const wire::Bytes packet = frame.subspan(ethernet->header_bytes);
  constexpr size_t kFragmentBits = 6;
  constexpr unsigned kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffset = 0x1FFF;
  const auto word_at = [&](size_t offset) {
    return static_cast<uint16_t>(std::to_integer<unsigned>(packet[offset]) << 8 |
                                 std::to_integer<unsigned>(packet[offset + 1]));
  };
  // Most frames are none: the others are worth a second look.
  if (packet.size() < kFragmentBits + 2 || (word_at(kFragmentBits) & (kMoreFragments | kOffset)) == 0) {
    return std::nullopt;
  }
  wire::ReadOptions inner = options;
  inner.wire_bytes = options.wire_bytes < ethernet->header_bytes ? 0 : options.wire_bytes - ethernet->header_bytes;
  const wire::Ipv4 ip = wire::read_ipv4(packet, inner);
  if (ip.fault != wire::Fault::kFragment) return std::nullopt;

  const uint16_t bits = word_at(kFragmentBits);
  Fragment fragment;
  fragment.source = ip.source.v4_bits();
  fragment.destination = ip.destination.v4_bits();
  fragment.id = word_at(4);
  fragment.protocol = ip.protocol;
  fragment.dscp = ip.dscp();
  fragment.ecn = ip.tos & 3;
  fragment.has_more = (bits & kMoreFragments) != 0;
  fragment.says_whole = (bits & kDontFragment) != 0;
  fragment.offset = (bits & kOffset) * 8U;
  fragment.payload_bytes = static_cast<uint32_t>(ip.total_bytes - ip.header_bytes);
  const size_t kept = packet.size() - ip.header_bytes;
  fragment.payload_kept = kept < fragment.payload_bytes ? static_cast<uint32_t>(kept) : fragment.payload_bytes;
  fragment.ethernet_bytes = ethernet->header_bytes;
  fragment.ip_bytes = ip.header_bytes;
  fragment.vlan = ethernet->vlan;
  return fragment;
}

}  // namespace tails::fastpath
