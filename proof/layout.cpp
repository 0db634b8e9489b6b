#include "proof/layout.h"

namespace tails::proof {

Layout::Layout(Family family, unsigned interface_bits) {
  int next = 0;
  const auto take = [&](Field& field, unsigned bits) {
    field = {next, bits, 1};
    next += static_cast<int>(bits);
  };
  const auto take_pair = [&](Field& one, Field& other, unsigned bits) {
    one = {next, bits, 2};
    other = {next + 1, bits, 2};
    next += 2 * static_cast<int>(bits);
  };
  const unsigned address = address_bits(family);
  take(out, interface_bits);
  take(in, interface_bits);
  take(state, 3);
  take(direction, 1);
  take(has_recorded, 1);
  take(protocol, 8);
  take(has_uid, 1);
  take_pair(uid, gid, 32);
  take_pair(destination, recorded_destination, address);
  take_pair(destination_port, recorded_port, 16);
  take(tcp_flags, 8);
  take(source_port, 16);
  take(source, address);
  take(icmp_type, 8);
  take(icmp_code, 8);
  take(later_fragment, 1);
  take(destination_type, 4);
  take(source_type, 4);
  take(mark, 32);
  take(connmark, 32);
  take(dscp, 6);
  take(status, 32);
  first_unknown = next;
}

}  // namespace tails::proof
