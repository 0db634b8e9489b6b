#include "leaktest/packets.h"

#include <algorithm>

#include "net/wire.h"

namespace tails::leaktest {
namespace {

// RFC 792, RFC 4443. (netinet/ip_icmp.h makes macros of words like icmp_id.)
constexpr uint8_t kEchoRequest = 8, kEchoRequestV6 = 128;
constexpr size_t kHeaderV4 = 20, kHeaderV6 = 40;
constexpr uint8_t kHopByHop = 0, kFragmentHeader = 44;

void put_u16(Bytes& bytes, size_t at, size_t value) {
  bytes[at] = static_cast<std::byte>(value >> 8 & 0xFF);
  bytes[at + 1] = static_cast<std::byte>(value & 0xFF);
}

bool is_v6(const Bytes& packet) { return std::to_integer<unsigned>(packet.front()) >> 4 == 6; }

size_t header_of(const Bytes& packet) { return is_v6(packet) ? kHeaderV6 : kHeaderV4; }

/// Puts 8 bytes of an extension header, which names what follows it, behind the IPv6 header at the front of `bytes`.
void extend(Bytes& bytes, uint8_t number, Bytes header) {
  header[0] = bytes[6];
  bytes[6] = static_cast<std::byte>(number);
  bytes.insert(bytes.begin() + kHeaderV6, header.begin(), header.end());
  put_u16(bytes, 4, bytes.size() - kHeaderV6);
}

}  // namespace

Bytes echo_of(const Case& attempt) {
  const bool is_v4 = attempt.target.address.family == Family::kIpv4;
  Bytes echo(8);
  echo[0] = static_cast<std::byte>(is_v4 ? kEchoRequest : kEchoRequestV6);
  // Its identifier: where two at once have the same, they clash in conntrack and one is dropped.
  put_u16(echo, 4, attempt.source.port);
  const Bytes token = token_payload(attempt.id);
  echo.insert(echo.end(), token.begin(), token.end());
  if (is_v4) put_u16(echo, 2, static_cast<uint16_t>(~wire::checksum_add(echo)));
  return echo;
}

Bytes packet_of(const Case& attempt, size_t payload) {
  PacketSpec spec;
  spec.source = attempt.source.address;
  spec.destination = attempt.target.address;
  spec.protocol = attempt.protocol;
  spec.source_port = attempt.source.port;
  spec.destination_port = attempt.target.port;
  spec.tcp_flags = attempt.tcp_flags;
  spec.acknowledgement = (attempt.tcp_flags & tcp_flag::kAck) != 0 ? 1 : 0;
  // Data in a SYN is legal, and names the case.
  spec.payload = token_payload(attempt.id, payload);
  return compose(spec);
}

Bytes fragment_of(const Bytes& packet, size_t from, size_t to, bool is_last, uint32_t id) {
  const auto header = static_cast<std::ptrdiff_t>(header_of(packet));
  Bytes fragment(packet.begin(), packet.begin() + header);
  fragment.insert(fragment.end(), packet.begin() + header + static_cast<std::ptrdiff_t>(from),
                  packet.begin() + header + static_cast<std::ptrdiff_t>(to));
  if (is_v6(packet)) {
    Bytes extension(8);
    put_u16(extension, 2, from | (is_last ? 0U : 1U));
    put_u16(extension, 6, id);
    extend(fragment, kFragmentHeader, std::move(extension));
    return fragment;
  }
  put_u16(fragment, 4, (id & 0x7FFF) | 0x8000);
  put_u16(fragment, 6, from / 8 | (is_last ? 0 : 0x2000U));
  return fragment;
}

Bytes behind_options(const Bytes& packet) {
  Bytes longer = packet;
  constexpr auto kPadN = std::byte{1}, kPadding = std::byte{4};
  extend(longer, kHopByHop, {std::byte{0}, std::byte{0}, kPadN, kPadding, {}, {}, {}, {}});
  return longer;
}

}  // namespace tails::leaktest
