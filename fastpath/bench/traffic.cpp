#include "fastpath/bench/traffic.h"

#include <algorithm>
#include <cassert>
#include <functional>

namespace tails::fastpath::bench {
namespace {

using wire::FrameSpec;

constexpr Port kPorts[] = {443, 80, 9001, 853};
/// More owners than that say nothing more.
constexpr size_t kMostOtherOwners = 4;

}  // namespace

/// Makes templates and asks the judge about each.
class TrafficBuilder {
 public:
  TrafficBuilder(const ruleset::RuleSet& rules, const WireView& view, size_t frame_bytes) : rules_(rules), view_(view) {
    traffic_.frame_bytes_ = frame_bytes;
  }

  Result<Traffic> build(std::optional<uint8_t> preferred) {
    if (!find_grant(preferred)) {
      return fail(ErrorKind::kRejected, "this policy lets nobody open a TCP connection to the Internet",
                  "A bench needs traffic that passes. Name another policy with --profile.");
    }
    connections();
    leaks();
    fragments();
    illegal();
    return std::move(traffic_);
  }

 private:
  /// As it comes from the machine, filled up to the size.
  [[nodiscard]] FrameSpec spec(uint8_t tag, uint8_t flags = tcp_flag::kSyn) const {
    FrameSpec result;
    result.source = IpAddress::v4(Traffic::kMachine);
    result.destination = IpAddress::v4(Traffic::kConnections);
    result.source_port = 10'000;
    result.destination_port = port_;
    result.tos = static_cast<uint8_t>(tag << 2);
    result.tcp_flags = flags;
    return result;
  }
  [[nodiscard]] FrameSpec answer(uint8_t flags) const {
    FrameSpec result = spec(0, flags);
    std::swap(result.source, result.destination);
    std::swap(result.source_port, result.destination_port);
    std::swap(result.source_mac, result.destination_mac);
    return result;
  }
  [[nodiscard]] std::vector<std::byte> frame(FrameSpec from) const {
    from.payload.clear();
    const size_t bare = headers(from);
    // What fills it up counts, so that a changed byte is seen.
    const size_t whole = std::max(traffic_.frame_bytes_, bare + Stamp::kBytes);
    for (size_t i = bare; i < whole; ++i) from.payload.push_back(static_cast<std::byte>(i));
    return wire::build_frame(from);
  }
  static size_t headers(const FrameSpec& of) {
    const size_t transport = of.protocol == protocol::kTcp ? 20 : of.protocol == protocol::kSctp ? 12 : 8;
    return 14 + (of.vlan ? 4 : 0) + 20 + transport;
  }

  [[nodiscard]] bool passes(Judge& judge, Side from, const std::vector<std::byte>& frame) const {
    return fastpath::passes(judge.judge(from, frame, 0).outcome);
  }
  /// A judge before whom connection 0 is open, where one may be.
  [[nodiscard]] Judge with_connection() const {
    Judge judge(rules_, view_);
    judge.judge(Side::kInside, frame(spec(tag_)), 0);
    judge.judge(Side::kOutside, frame(answer(tcp_flag::kSyn | tcp_flag::kAck)), 0);
    judge.judge(Side::kInside, frame(spec(tag_, tcp_flag::kAck)), 0);
    return judge;
  }

  bool find_grant(std::optional<uint8_t> preferred) {
    std::vector<uint8_t> tags;
    if (preferred) tags.push_back(*preferred);
    for (const OwnerTag& owner : view_.owners) tags.push_back(owner.tag);
    tags.push_back(0);
    for (const uint8_t tag : tags) {
      for (const Port port : kPorts) {
        tag_ = tag;
        port_ = port;
        Judge judge(rules_, view_);
        if (!passes(judge, Side::kInside, frame(spec(tag)))) continue;
        const auto owner = std::ranges::find(view_.owners, tag, &OwnerTag::tag);
        traffic_.owner_ = owner == view_.owners.end() ? "anybody" : owner->name;
        return true;
      }
    }
    return false;
  }

  void add(Purpose purpose, Side from, std::string name, std::vector<std::byte> bytes) {
    traffic_.templates_[static_cast<size_t>(purpose)].emplace_back(std::move(name), from, std::move(bytes));
  }
  /// Only what the judge blocks, whatever is open.
  void add_blocked(Purpose purpose, Side from, std::string name, const std::vector<std::byte>& bytes) {
    // Some belong to connection 0, most to none; a stranger's has another port.
    std::vector<std::byte> sent = bytes;
    FrameTemplate probe(name, from, bytes);
    probe.write(Traffic::stranger(0), Stamp::make(0, 0), sent.data());
    Judge judge = with_connection();
    if (!passes(judge, from, sent)) add(purpose, from, std::move(name), bytes);
  }

  void connections() {
    constexpr uint8_t kSynAck = tcp_flag::kSyn | tcp_flag::kAck;
    add(Purpose::kSegment, Side::kInside, "segment", frame(spec(tag_, tcp_flag::kAck)));
    add(Purpose::kAnswer, Side::kOutside, "answer", frame(answer(tcp_flag::kAck)));
    add(Purpose::kFlood, Side::kInside, "SYN of a flood", frame(spec(tag_)));
    add(Purpose::kSyn, Side::kInside, "SYN", frame(spec(tag_)));
    add(Purpose::kSynAck, Side::kOutside, "SYN-ACK", frame(answer(kSynAck)));
    add(Purpose::kFirstAck, Side::kInside, "first ACK", frame(spec(tag_, tcp_flag::kAck)));
    add(Purpose::kReset, Side::kInside, "RST", frame(spec(tag_, tcp_flag::kRst | tcp_flag::kAck)));
  }

  void leaks() {
    const auto leak = [&](std::string name, const FrameSpec& from) {
      add_blocked(Purpose::kLeak, Side::kInside, std::move(name), frame(from));
    };
    leak("connection without an owner", spec(0));
    size_t others = 0;
    for (const OwnerTag& owner : view_.owners) {
      if (owner.tag == tag_ || others == kMostOtherOwners) continue;
      const size_t before = traffic_.templates(Purpose::kLeak).size();
      leak("connection of " + owner.name, spec(owner.tag));
      others += traffic_.templates(Purpose::kLeak).size() - before;
    }
    const std::string& owner = traffic_.owner_;
    leak("segment of no connection, of " + owner, spec(tag_, tcp_flag::kAck));
    leak("SYN-ACK to nothing, of " + owner, spec(tag_, tcp_flag::kSyn | tcp_flag::kAck));
    FrameSpec udp = spec(tag_);
    udp.protocol = protocol::kUdp;
    leak("UDP of " + owner, udp);
    FrameSpec dns = udp;
    dns.tos = 0;
    dns.destination_port = 53;
    leak("DNS without an owner", dns);
    FrameSpec ping = spec(tag_);
    ping.protocol = protocol::kIcmp;
    leak("ping of " + owner, ping);
    FrameSpec sctp = spec(tag_);
    sctp.protocol = protocol::kSctp;
    leak("SCTP of " + owner, sctp);
  }

  /// With the IPv4 header's checksum made right again.
  static std::vector<std::byte> changed(std::vector<std::byte> frame, const std::function<void(std::byte*)>& change) {
    change(frame.data() + 14);
    frame[24] = frame[25] = std::byte{0};
    const auto sum = static_cast<uint16_t>(~wire::checksum_add(std::span(frame).subspan(14, 20)));
    frame[24] = static_cast<std::byte>(sum >> 8);
    frame[25] = static_cast<std::byte>(sum & 0xFF);
    return frame;
  }

  void fragments() {
    const auto fragment = [&](std::string name, uint8_t high, uint8_t low, uint8_t id) {
      add_blocked(Purpose::kFragment, Side::kInside, std::move(name),
                  changed(frame(spec(tag_, tcp_flag::kAck)), [&](std::byte* ip) {
                    ip[5] = std::byte{id};  // Never two that fit together.
                    ip[6] = std::byte{high};
                    ip[7] = std::byte{low};
                  }));
    };
    fragment("first fragment", 0x20, 0, 1);
    fragment("middle fragment", 0x20, 64, 2);
    fragment("last fragment", 0, 64, 3);
    fragment("fragment that begins in the TCP header", 0, 1, 4);
  }

  void illegal() {
    const auto from_inside = [&](std::string name, const std::vector<std::byte>& bytes) {
      add_blocked(Purpose::kIllegal, Side::kInside, std::move(name), bytes);
    };
    const auto from_outside = [&](std::string name, const std::vector<std::byte>& bytes) {
      add_blocked(Purpose::kIllegal, Side::kOutside, std::move(name), bytes);
    };
    const std::vector<std::byte> sound = frame(spec(tag_));
    const auto flipped = [&](size_t at, uint8_t bits) {
      std::vector<std::byte> frame = sound;
      frame[at] ^= std::byte{bits};
      return frame;
    };
    from_inside("wrong IPv4 checksum", flipped(24, 1));
    from_inside("wrong TCP checksum", flipped(50, 1));
    from_inside("IP version 5", changed(sound, [](std::byte* ip) { ip[0] = std::byte{0x55}; }));
    from_inside("IP header of 16 bytes", changed(sound, [](std::byte* ip) { ip[0] = std::byte{0x44}; }));
    from_inside("IP length past the frame's end", changed(sound, [](std::byte* ip) { ip[2] = std::byte{0x10}; }));
    from_inside("IP length that cuts the TCP header", changed(sound, [](std::byte* ip) {
                  ip[2] = std::byte{0};
                  ip[3] = std::byte{30};
                }));
    std::vector<std::byte> ipv6 = sound;
    ipv6[12] = std::byte{0x86};
    ipv6[13] = std::byte{0xDD};
    ipv6[14] = std::byte{0x60};
    from_inside("IPv6", ipv6);
    std::vector<std::byte> other = sound;
    other[12] = std::byte{0x88};
    other[13] = std::byte{0xB5};  // IEEE 802: for local experiments.
    from_inside("neither IPv4 nor ARP", other);
    for (uint8_t tag = OwnerTag::kCount - 1; tag > 0; --tag) {
      if (std::ranges::find(view_.owners, tag, &OwnerTag::tag) != view_.owners.end()) continue;
      from_inside("owner tag that means nobody", frame(spec(tag)));
      break;
    }
    FrameSpec loopback = spec(tag_);
    loopback.source = IpAddress::v4(127, 0, 0, 1);
    from_inside("from 127.0.0.1", frame(loopback));
    FrameSpec vlan = spec(tag_);
    vlan.vlan = 7;
    from_inside("VLAN tag", frame(vlan));
    from_outside("connection from the network", frame(answer(tcp_flag::kSyn)));
    from_outside("answer to nothing", frame(answer(tcp_flag::kAck)));
    FrameSpec udp = answer(0);
    udp.protocol = protocol::kUdp;
    from_outside("UDP from the network", frame(udp));
    FrameSpec ping = answer(0);
    ping.protocol = protocol::kIcmp;
    from_outside("ping from the network", frame(ping));
  }

  const ruleset::RuleSet& rules_;
  const WireView& view_;
  Traffic traffic_;
  uint8_t tag_ = 0;
  Port port_ = 443;
};

Result<Traffic> Traffic::make(const ruleset::RuleSet& rules, const WireView& view, size_t frame_bytes,
                              std::optional<uint8_t> preferred) {
  assert(frame_bytes >= 60 && frame_bytes <= 1514 && frame_bytes % 2 == 0);
  return TrafficBuilder(rules, view, frame_bytes).build(preferred);
}

}  // namespace tails::fastpath::bench
