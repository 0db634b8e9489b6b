#include "proof/layout.h"

namespace tails::proof {

Layout::Layout(Family family, unsigned interface_bits, const Granularity* granularity) {
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
  const auto take_classes = [&](Field& field, unsigned bits, const ValueClasses* classes) {
    take(field, classes != nullptr ? classes->bits() : bits);
    field.classes = classes;
  };
  const auto take_class_pair = [&](Field& one, Field& other, unsigned bits, const ValueClasses* classes) {
    take_pair(one, other, classes != nullptr ? classes->bits() : bits);
    one.classes = other.classes = classes;
  };
  const auto classes = [&](ValueClasses Granularity::*member) {
    return granularity != nullptr ? &(granularity->*member) : nullptr;
  };
  const unsigned address = address_bits(family);
  take(out, interface_bits);
  take(in, interface_bits);
  take(state, 3);
  take(direction, 1);
  take(has_recorded, 1);
  take_classes(protocol, 8, classes(&Granularity::protocols));
  take(has_uid, 1);
  if (granularity == nullptr) {
    take_pair(uid, gid, 32);  // so that "the user's own group" is small
  } else {
    take_classes(uid, 32, &granularity->uids);
    take_classes(gid, 32, &granularity->gids);
  }
  take_class_pair(destination, recorded_destination, address, classes(&Granularity::addresses));
  take_class_pair(destination_port, recorded_port, 16, classes(&Granularity::destination_ports));
  take(tcp_flags, 8);
  take_classes(source_port, 16, classes(&Granularity::source_ports));
  take_classes(source, address, classes(&Granularity::addresses));
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
