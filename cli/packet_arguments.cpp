#include "cli/packet_arguments.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <memory>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/misuse.h"
#include "cli/operand.h"
#include "cli/packet_json.h"
#include "cli/packet_words.h"

namespace tails::cli {
namespace {

/// RFC 5737 and RFC 3849: stands for "some address of this machine".
constexpr IpAddress kSomeV4 = IpAddress::v4(192, 0, 2, 1);
constexpr IpAddress kSomeV6 = IpAddress::v6(0x20010db800000000, 1);
constexpr InterfaceName kUplink = *InterfaceName::make("eth0");

Result<IpAddress> address(const Arguments& arguments, std::string_view option) {
  const std::string_view text = *arguments.value(option);
  const std::optional<IpAddress> parsed = IpAddress::parse(text);
  if (!parsed) return misused(fmt::format("{} takes an IPv4 or IPv6 address, not \"{}\"", option, text));
  return *parsed;
}

/// Fills in what the destination tells: output interface, source address, kind of destination.
void route(Packet& packet, const PacketContext& context) {
  const IpAddress& to = packet.destination;
  const bool is_v4 = to.family == Family::kIpv4;
  packet.source = is_v4 ? kSomeV4 : kSomeV6;
  // A packet to the example's own address comes from its neighbour.
  if (packet.source == to) packet.source.low += 1;
  packet.out = kUplink;
  constexpr Prefix kMulticastV4 = *Prefix::make(IpAddress::v4(224, 0, 0, 0), 4);
  constexpr Prefix kMulticastV6 = *Prefix::make(IpAddress::v6(0xff00000000000000, 0), 8);
  if (kMulticastV4.contains(to) || kMulticastV6.contains(to)) packet.destination_type = AddressType::kMulticast;
  if (to == IpAddress::v4(255, 255, 255, 255)) packet.destination_type = AddressType::kBroadcast;

  bool is_own = kLoopbackNetV4.contains(to) || to == kLoopbackV6 ||
                std::ranges::find(context.own_addresses, to) != context.own_addresses.end();
  if (context.policy != nullptr) {
    for (const policy::Namespace& guest : context.policy->namespaces) {
      is_own = is_own || to == guest.host;
      if (guest.network.contains(to)) {
        packet.out = guest.interface;
        packet.source = guest.host;
      }
    }
  }
  if (is_own) {
    packet.out = kLoopbackInterface;
    packet.source = kLoopbackNetV4.contains(to) ? kLoopbackV4 : to;
    packet.destination_type = AddressType::kLocal;
  }
}

Result<void> read_transport(const Arguments& arguments, Packet& packet) {
  const std::optional<std::string_view> type = arguments.value("--type");
  const bool is_v4 = packet.family() == Family::kIpv4;
  packet.protocol = !type ? protocol::kTcp : is_v4 ? protocol::kIcmp : protocol::kIcmpv6;
  if (const auto name = arguments.value("--proto")) {
    const std::optional<uint8_t> number = parse_protocol(*name, packet.family());
    if (!number) return misused(fmt::format("--proto takes tcp, udp, icmp or a number to 255, not \"{}\"", *name));
    packet.protocol = *number;
  }
  const auto port = arguments.number("--port", 1, 65535);
  if (!port) return tl::unexpected(port.error());
  const auto source_port = arguments.number("--sport", 1, 65535);
  if (!source_port) return tl::unexpected(source_port.error());
  if (protocol::carries_ports(packet.protocol)) {
    constexpr Port kWeb = 443;
    constexpr Port kDns = 53;
    packet.destination_port = *port ? static_cast<Port>(**port) : packet.protocol == protocol::kUdp ? kDns : kWeb;
    packet.source_port = static_cast<Port>(**source_port);
  } else if (*port) {
    return misused(fmt::format("{} has no ports", protocol_text(packet.protocol)),
                   "Leave --port out, or name --proto.");
  }
  if (packet.is_icmp()) {
    constexpr std::string_view kEcho = "8/0";
    constexpr std::string_view kEchoV6 = "128/0";
    const std::string_view text = type.value_or(is_v4 ? kEcho : kEchoV6);
    const auto icmp = parse_icmp_type(text);
    if (!icmp) return misused(fmt::format("--type takes TYPE/CODE, two numbers to 255, not \"{}\"", text));
    std::tie(packet.icmp_type, packet.icmp_code) = *icmp;
  } else if (type) {
    return misused(fmt::format("{} has no type", protocol_text(packet.protocol)), "Leave --type out, or --proto.");
  }
  return {};
}

}  // namespace

Result<Packet> packet_of(const Arguments& arguments, const PacketContext& context) {
  if (const auto file = arguments.value("--packet")) {
    if (arguments.has("--user") || arguments.has("--to")) {
      return misused("--packet describes the whole packet",
                     "Leave out --user, --to and the options that go with them.");
    }
    const Result<std::string> text = read_file(*file == "-" ? "/dev/stdin" : std::string(*file));
    return text ? parse_packet_json(*text) : tl::unexpected(text.error());
  }
  constexpr std::array kNeeded = {std::pair("--user", "U|none"), std::pair("--to", "ADDR")};
  for (const auto& [option, value] : kNeeded) {
    if (!arguments.has(option)) {
      return misused(fmt::format("explain needs {} {}", option, value),
                     "For example: tails-iptc explain --user amnesia --to 198.51.100.7. Or --packet FILE.");
    }
  }
  Packet packet;
  packet.hook = Hook::kOutput;
  const Result<IpAddress> to = address(arguments, "--to");
  if (!to) return tl::unexpected(to.error());
  packet.destination = *to;
  if (auto read = read_transport(arguments, packet); !read) return tl::unexpected(read.error());

  const std::string_view user = *arguments.value("--user");
  if (user != "none") {
    const Result<Uid> uid = find_account(user, context.global, context.accounts, context.environment);
    if (!uid) return tl::unexpected(uid.error());
    packet.uid = *uid;
    packet.gid = Gid{uid->value};
  }

  const std::string_view state_name = *arguments.value("--state");
  const std::optional<ConnState> state = parse_state(state_name);
  if (!state) {
    return misused(
        fmt::format("--state takes NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED, not \"{}\"", state_name));
  }
  packet.state = *state;
  packet.direction = arguments.has("--reply") ? Direction::kReply : Direction::kOriginal;
  if (packet.direction == Direction::kReply && packet.state == ConnState::kNew) {
    return misused("an answer is never NEW", "Give --state ESTABLISHED or RELATED with --reply.");
  }
  if (packet.protocol == protocol::kTcp) {
    const bool opens = packet.state == ConnState::kNew || packet.state == ConnState::kRelated;
    packet.tcp_flags = opens ? tcp_flag::kSyn : tcp_flag::kAck;
  }

  route(packet, context);
  if (const auto via = arguments.value("--via")) {
    const std::optional<InterfaceName> name = InterfaceName::make(*via);
    if (!name) return misused(fmt::format("--via takes an interface name of 1 to 15 bytes, not \"{}\"", *via));
    packet.out = *name;
  }
  if (arguments.has("--from")) {
    const Result<IpAddress> from = address(arguments, "--from");
    if (!from) return tl::unexpected(from.error());
    if (from->family != packet.family()) return misused("--from and --to are not of one family");
    packet.source = *from;
  }
  return packet;
}

std::vector<IpAddress> own_addresses() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  std::vector<IpAddress> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    if (entry->ifa_addr->sa_family == AF_INET) {
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      addresses.push_back(IpAddress::from_wire(Family::kIpv4, &address->sin_addr));
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const auto* address = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
      addresses.push_back(IpAddress::from_wire(Family::kIpv6, &address->sin6_addr));
    }
  }
  return addresses;
}

}  // namespace tails::cli
