#include "fastpath/wire_view.h"

#include <algorithm>
#include <variant>

namespace tails::fastpath {

Packet as_machine_sees(const WireView& view, Side from, uint8_t owner, const Packet& seen) {
  Packet packet = seen;
  const auto tag = std::ranges::find(view.owners, owner, &OwnerTag::tag);
  const auto* guest = tag == view.owners.end() ? nullptr : std::get_if<ForwardedGuest>(&tag->owner);
  packet.in = packet.out = InterfaceName();
  packet.uid.reset();
  packet.gid.reset();
  if (from == Side::kInside) {
    packet.hook = guest != nullptr ? Hook::kForward : Hook::kOutput;
    packet.out = view.interface;
    if (guest != nullptr) {
      packet.in = guest->interface;
      packet.source = guest->address;
    } else if (tag != view.owners.end()) {
      packet.uid = std::get<Uid>(tag->owner);
      packet.gid = Gid{packet.uid->value};
    }
    return packet;
  }
  packet.hook = guest != nullptr ? Hook::kForward : Hook::kInput;
  packet.in = view.interface;
  if (guest != nullptr) {
    packet.out = guest->interface;
    packet.destination = guest->address;
  }
  return packet;
}

}  // namespace tails::fastpath
