#include "iptc/header_codec.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tails::iptc {
namespace {

using kernel::EntryLayout;
using kernel::kInterfaceSize;
using kernel::load;
using kernel::store;
namespace inversion = kernel::inversion;
using Bytes = std::span<const std::byte>;
using Room = std::span<std::byte>;

/// As iptables writes it: "eth0" is compared with its zero, "eth+" without, and the '+' stays in the name.
void store_interface(Room entry, size_t name_at, size_t mask_at, const ruleset::InterfaceTest& test) {
  const std::string_view name = test.view();
  const auto name_room = entry.subspan(name_at, kInterfaceSize);
  const auto mask_room = entry.subspan(mask_at, kInterfaceSize);
  if (!name.empty()) std::memcpy(name_room.data(), name.data(), name.size());
  if (test.is_prefix && name.size() < kInterfaceSize) name_room[name.size()] = std::byte{'+'};
  const size_t compared = name.empty() ? 0 : name.size() + (test.is_prefix ? 0 : 1);
  std::memset(mask_room.data(), 0xFF, std::min(compared, kInterfaceSize));
}

/// What `store_interface` would have written; nullopt for anything else.
std::optional<ruleset::InterfaceTest> load_interface(Bytes entry, size_t name_at, size_t mask_at, bool inverted) {
  const auto name = entry.subspan(name_at, kInterfaceSize);
  const auto mask = entry.subspan(mask_at, kInterfaceSize);
  const auto compared =
      static_cast<size_t>(std::ranges::find_if(mask, [](std::byte b) { return b != std::byte{0xFF}; }) - mask.begin());
  ruleset::InterfaceTest test;
  test.inverted = inverted;
  for (size_t i = 0; i < compared; ++i) test.name[i] = std::to_integer<char>(name[i]);
  // A full mask without a zero in it cannot be: names have at most 15 bytes.
  if (compared == kInterfaceSize && test.name.back() != '\0') return std::nullopt;
  test.is_prefix = test.view().size() == compared && compared < kInterfaceSize && name[compared] == std::byte{'+'};
  std::array<std::byte, 2 * kInterfaceSize> again{};
  store_interface(again, 0, kInterfaceSize, test);
  const bool same = std::ranges::equal(std::span(again).first(kInterfaceSize), name) &&
                    std::ranges::equal(std::span(again).last(kInterfaceSize), mask);
  if (!same) return std::nullopt;
  return test;
}

void store_test(const Header& header, Family family, const EntryLayout& at, Room entry) {
  const ruleset::HeaderTest& test = header.test;
  test.source.address.to_wire(entry.subspan(at.source).data());
  test.source.mask.to_wire(entry.subspan(at.source_mask).data());
  test.destination.address.to_wire(entry.subspan(at.destination).data());
  test.destination.mask.to_wire(entry.subspan(at.destination_mask).data());
  store_interface(entry, at.in, at.in_mask, test.in);
  store_interface(entry, at.out, at.out_mask, test.out);
  unsigned inversions = (test.in.inverted ? inversion::kIn : 0U) | (test.out.inverted ? inversion::kOut : 0U) |
                        (test.source.inverted ? inversion::kSource : 0U) |
                        (test.destination.inverted ? inversion::kDestination : 0U) |
                        (test.protocol_inverted ? inversion::kProtocol : 0U);
  unsigned flags = 0;
  if (family == Family::kIpv4) {
    store<uint16_t>(entry, at.protocol, test.protocol);
    if (test.fragment != ruleset::HeaderTest::Fragment::kAny) flags |= kernel::flag_v4::kFragment;
    if (test.fragment == ruleset::HeaderTest::Fragment::kNotLater) inversions |= inversion::kFragment;
    if (header.is_goto) flags |= kernel::flag_v4::kGoto;
  } else {
    store<uint16_t>(entry, at.protocol, test.protocol != 0 ? uint16_t{test.protocol} : header.ignored_protocol);
    if (test.protocol != 0) flags |= kernel::flag_v6::kProtocol;
    if (header.is_goto) flags |= kernel::flag_v6::kGoto;
  }
  store<uint8_t>(entry, at.flags, static_cast<uint8_t>(flags));
  store<uint8_t>(entry, at.inversions, static_cast<uint8_t>(inversions));
}

ruleset::AddressTest load_address(Bytes entry, Family family, size_t address_at, size_t mask_at, bool inverted) {
  const ruleset::AddressTest test{IpAddress::from_wire(family, entry.subspan(address_at).data()),
                                  IpAddress::from_wire(family, entry.subspan(mask_at).data()), inverted};
  // What tests nothing looks the same in both families, as lowering and text leave it.
  const bool is_zero = test.is_any() && test.address.high == 0 && test.address.low == 0;
  return is_zero ? ruleset::AddressTest{} : test;
}

}  // namespace

void write_header(const Header& header, Family family, Abi abi, std::span<std::byte> entry) {
  const EntryLayout at = kernel::entry_layout(family, abi);
  if (header.opaque) {
    std::ranges::copy(header.opaque->data, entry.first(at.header_end).begin());
  } else {
    store_test(header, family, at, entry);
  }
}

Header read_header(std::span<const std::byte> entry, Family family, Abi abi) {
  const EntryLayout at = kernel::entry_layout(family, abi);
  const auto flags = load<uint8_t>(entry, at.flags);
  const auto inversions = load<uint8_t>(entry, at.inversions);
  const auto inverts = [&](uint8_t bit) { return (inversions & bit) != 0; };
  Header header;
  ruleset::HeaderTest& test = header.test;
  test.source = load_address(entry, family, at.source, at.source_mask, inverts(inversion::kSource));
  test.destination = load_address(entry, family, at.destination, at.destination_mask, inverts(inversion::kDestination));
  const auto in = load_interface(entry, at.in, at.in_mask, inverts(inversion::kIn));
  const auto out = load_interface(entry, at.out, at.out_mask, inverts(inversion::kOut));
  if (in) test.in = *in;
  if (out) test.out = *out;
  const auto number = load<uint16_t>(entry, at.protocol);
  if (family == Family::kIpv4) {
    header.is_goto = (flags & kernel::flag_v4::kGoto) != 0;
    if ((flags & kernel::flag_v4::kFragment) != 0) {
      test.fragment = inverts(inversion::kFragment) ? ruleset::HeaderTest::Fragment::kNotLater
                                                    : ruleset::HeaderTest::Fragment::kLater;
    }
  } else {
    header.is_goto = (flags & kernel::flag_v6::kGoto) != 0;
  }
  // Without its flag an IPv6 rule's protocol is not looked at (net/ipv6/netfilter/ip6_tables.c ip6_packet_match).
  const bool is_ignored = family == Family::kIpv6 && (flags & kernel::flag_v6::kProtocol) == 0;
  if (is_ignored) {
    header.ignored_protocol = number;
  } else if (number <= 0xFF) {
    test.protocol = static_cast<uint8_t>(number);
  }
  test.protocol_inverted = inverts(inversion::kProtocol) && number <= 0xFF;
  // Nothing may be lost: what does not come out as it went in was not understood.
  std::array<std::byte, 256> again{};
  write_header(header, family, abi, again);
  const auto whole = entry.first(at.header_end);
  if (!in || !out || !std::ranges::equal(std::span(again).first(at.header_end), whole)) {
    header.opaque = ruleset::OpaqueMatch{std::string(kOpaqueHeader), 0, {whole.begin(), whole.end()}, {}, false};
  }
  return header;
}

}  // namespace tails::iptc
