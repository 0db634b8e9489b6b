#pragma once

#include <cstddef>

#include "leaktest/case.h"
#include "leaktest/wire.h"

/// What the raw sockets of an attempt send, each with the token of its case. Pure.
namespace tails::leaktest {

/// An echo request (RFC 792, RFC 4443), without an IP header; of IPv6 the kernel fills in the checksum.
Bytes echo_of(const Case& attempt);

/// A whole packet from its IP header on, with `payload` bytes or a little more behind the transport header.
Bytes packet_of(const Case& attempt, size_t payload = 16);

/// `from`..`to` of what is behind the IP header of `packet`, as a fragment at that place: of IPv4 the kernel mends
/// length and checksum (raw(7)), of IPv6 it is whole (RFC 8200, section 4.5). `from`: a multiple of 8.
Bytes fragment_of(const Bytes& packet, size_t from, size_t to, bool is_last, uint32_t id);

/// An IPv6 packet with a hop-by-hop header of padding in front of its transport header (RFC 8200, section 4.3).
Bytes behind_options(const Bytes& packet);

}  // namespace tails::leaktest
