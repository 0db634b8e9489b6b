#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "iptc/form.h"
#include "ruleset/match.h"

/// The fixed part of an entry (struct ipt_ip, struct ip6t_ip6) to and from the kernel's bytes. Pure.
namespace tails::iptc {

/// The name of the OpaqueMatch that holds a whole header which HeaderTest cannot say: an interface mask with holes,
/// a type of service, unused bits. No kernel extension is called so.
inline constexpr std::string_view kOpaqueHeader = "(header)";

struct Header {
  ruleset::HeaderTest test;
  bool is_goto = false;
  /// IPv6 only: a protocol number that the kernel ignores, because its flag is not set.
  uint16_t ignored_protocol = 0;
  /// Present where `test` does not say all: the whole header. `test` then leaves out what it cannot say.
  std::optional<ruleset::OpaqueMatch> opaque;
};

/// Writes into the first `header_end` bytes of a zeroed entry. With `opaque`, its bytes are written instead.
void write_header(const Header& header, Family family, Abi abi, std::span<std::byte> entry);

/// `entry` has at least the size of struct ipt_entry or ip6t_entry.
Header read_header(std::span<const std::byte> entry, Family family, Abi abi);

}  // namespace tails::iptc
