#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fastpath/wire_view.h"
#include "net/frame_builder.h"
#include "tests/policy/dice.h"

namespace tails::fastpath {

/// Random frames between a few stations: flows that open, answer, close and come back, owners that change, and now and
/// then something that is no sound IPv4 packet at all.
class FrameSource {
 public:
  FrameSource(const WireView& view, uint64_t seed) : dice_(seed), view_(view) {
    tags_ = {0, 0, 7};
    for (const OwnerTag& tag : view.owners) tags_.insert(tags_.end(), {tag.tag, tag.tag});
  }

  std::vector<std::byte> next(Side from) {
    wire::FrameSpec spec = packet();
    if (from == Side::kOutside) answer(spec);
    const uint8_t tag = dice_.pick(tags_);
    if (dice_.chance(90))
      spec.tos =
          static_cast<uint8_t>((from == Side::kInside || dice_.chance(10) ? size_t{tag} << 2 : 0) | dice_.below(4));
    if (dice_.chance(view_.owner_source == OwnerSource::kVlan && from == Side::kInside ? 90 : 1)) spec.vlan = tag;
    if (dice_.chance(3)) spec.ip_options.resize(4 * (1 + dice_.below(10)), std::byte{1});
    if (dice_.chance(30))
      spec.payload.resize(dice_.below(dice_.chance(10) ? 1400 : 60), static_cast<std::byte>(dice_.bits()));
    std::vector<std::byte> frame = wire::build_frame(spec);
    if (dice_.chance(8)) damage(frame);
    return frame;
  }

 private:
  wire::FrameSpec packet() {
    wire::FrameSpec spec;
    constexpr uint8_t kProtocols[] = {6, 6, 6, 6, 6, 17, 17, 17, 1, 1, 47, 132, 136, 33};
    spec.protocol = dice_.pick(kProtocols);
    spec.source = IpAddress::v4(10, 0, 0, static_cast<uint8_t>(5 + dice_.below(2)));
    constexpr uint32_t kDestinations[] = {0xC0000201, 0xC0000202, 0xC0A80001, 0x0A000001,
                                          0x0A0101FE, 0xAC100001, 0x0AC80112};
    spec.destination = IpAddress::v4(dice_.chance(1) ? 0x7F000001 : dice_.pick(kDestinations));
    spec.source_port = static_cast<Port>(40000 + dice_.below(4));
    constexpr Port kPorts[] = {53, 80, 443, 137, 68, 67};
    spec.destination_port = dice_.pick(kPorts);
    if (spec.destination_port == 67 && dice_.chance(50)) spec.source_port = 68;
    constexpr uint8_t kFlags[] = {0x02, 0x02, 0x12, 0x10, 0x10, 0x10, 0x18, 0x11, 0x14, 0x04, 0x00, 0xC2};
    spec.tcp_flags = dice_.pick(kFlags);
    constexpr uint8_t kTypes[] = {8, 8, 0, 0, 13, 14, 3, 11, 5};
    spec.icmp_type = dice_.pick(kTypes);
    spec.icmp_id = static_cast<uint16_t>(dice_.below(3));
    return spec;
  }

  void answer(wire::FrameSpec& spec) {
    std::swap(spec.source, spec.destination);
    std::swap(spec.source_port, spec.destination_port);
  }

  void damage(std::vector<std::byte>& frame) {
    switch (dice_.below(7)) {
      case 0: frame.resize(dice_.below(frame.size() + 1)); break;
      case 1: frame[12 + dice_.below(2)] = static_cast<std::byte>(dice_.bits()); break;
      case 2:
        frame[12] = std::byte{0x86};
        frame[13] = std::byte{0xDD};
        break;
      case 3:  // ARP, plausible as often as not
        frame.resize(60);
        static constexpr std::byte kArp[] = {std::byte{8}, std::byte{6}, std::byte{0}, std::byte{1}, std::byte{8},
                                             std::byte{0}, std::byte{6}, std::byte{4}, std::byte{0}, std::byte{1}};
        for (size_t i = 0; i < 10; ++i) frame[12 + i] = kArp[i];
        if (dice_.chance(50)) std::copy(frame.begin() + 6, frame.begin() + 12, frame.begin() + 22);
        frame[28] = static_cast<std::byte>(dice_.bits());
        break;
      case 4: {  // a fragment
        if (frame.size() < 34 || frame[12] != std::byte{8} || frame[13] != std::byte{0}) return;
        frame[20 + dice_.below(2)] = std::byte{0x21};
        const size_t header = 4 * (std::to_integer<size_t>(frame[14]) & 0xF);
        frame[24] = frame[25] = std::byte{0};
        const auto sum = static_cast<uint16_t>(~wire::checksum_add(std::span(frame).subspan(14, header)));
        frame[24] = static_cast<std::byte>(sum >> 8);
        frame[25] = static_cast<std::byte>(sum & 0xFF);
        break;
      }
      default:
        for (size_t n = 1 + dice_.below(3); n > 0; --n) {
          frame[14 + dice_.below(frame.size() - 14)] ^= static_cast<std::byte>(1U << dice_.below(8));
        }
        // Half of the time the checksums fit again, so that the change counts.
        if (dice_.chance(50) &&
            wire::read_ipv4(std::span(frame).subspan(14), {false, false, 0}).fault == wire::Fault::kNone) {
          wire::fix_checksums(std::span(frame).subspan(14));
        }
    }
  }

  testing::Dice dice_;
  WireView view_;
  std::vector<uint8_t> tags_;
};

}  // namespace tails::fastpath
