// Any bytes, as a frame: its headers are read, or a fault is named, never worse. What is said to be sound lies inside
// the frame.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "net/wire.h"

namespace {

using namespace tails;  // NOLINT(google-build-using-namespace): the program's own file

void expect(bool holds) {
  if (!holds) std::abort();
}

void read(wire::Bytes packet, const wire::ReadOptions& options) {
  const wire::Ipv4 read = wire::read_ipv4(packet, options);
  expect(!wire::describe(read.fault).empty());
  expect(read.dscp() < 64);
  const FlowTuple tuple = read.tuple();
  expect(tuple.protocol == read.protocol && tuple.source.address == read.source);
  if (read.header_bytes != 0) expect(read.header_bytes >= 20 && read.header_bytes <= 60);
  if (read.fault != wire::Fault::kNone) return;
  expect(packet.size() >= 20 && read.header_bytes <= read.total_bytes && read.header_bytes <= packet.size());
  expect(read.total_bytes <= std::max(packet.size(), options.wire_bytes));
  expect(read.source.family == Family::kIpv4 && read.destination.family == Family::kIpv4);
  if (options.ip_checksum) expect(wire::checksum_add(packet.first(read.header_bytes)) == 0xFFFF);
  // Padding behind the packet changes nothing.
  if (read.total_bytes < packet.size() && options.wire_bytes == 0) {
    const wire::Ipv4 again = wire::read_ipv4(packet.first(read.total_bytes), options);
    expect(again.fault == wire::Fault::kNone && again.tuple() == tuple);
  }
}

}  // namespace

/// The last byte: bit 0 the IP checksum counts, 1 the transport's, 2 the frame was longer on the wire (by bits 3..7).
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const unsigned choice = data[size - 1];
  const wire::Bytes frame = std::as_bytes(std::span(data, size - 1));
  const auto ethernet = wire::read_ethernet(frame);
  if (!ethernet) return 0;
  expect(ethernet->header_bytes <= frame.size() && (!ethernet->vlan || *ethernet->vlan < 4096));
  const wire::Bytes inside = frame.subspan(ethernet->header_bytes);
  wire::is_plausible_arp(*ethernet, inside);
  wire::checksum_add(inside, choice);
  wire::ReadOptions options{.ip_checksum = (choice & 1) != 0, .transport_checksum = (choice & 2) != 0};
  if ((choice & 4) != 0) options.wire_bytes = inside.size() + (choice >> 3) * size_t{64};
  read(inside, options);
  return 0;
}
