#include "cli/packet_words.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace tails::cli {
namespace {

bool equal_in_any_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

constexpr std::array kStates{ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid,
                             ConnState::kUntracked};

}  // namespace

std::string protocol_text(uint8_t number) {
  switch (number) {
    case protocol::kIcmp: return "icmp";
    case protocol::kTcp: return "tcp";
    case protocol::kUdp: return "udp";
    case protocol::kIcmpv6: return "icmpv6";
    default: return fmt::format("{}", number);
  }
}

std::optional<uint8_t> parse_protocol(std::string_view text, Family family) {
  if (equal_in_any_case(text, "tcp")) return protocol::kTcp;
  if (equal_in_any_case(text, "udp")) return protocol::kUdp;
  if (equal_in_any_case(text, "icmp")) return family == Family::kIpv4 ? protocol::kIcmp : protocol::kIcmpv6;
  if (equal_in_any_case(text, "icmpv6")) return protocol::kIcmpv6;
  uint8_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view hook_text(Hook hook) {
  switch (hook) {
    case Hook::kInput: return "INPUT";
    case Hook::kOutput: return "OUTPUT";
    case Hook::kForward: return "FORWARD";
  }
  return "";
}

std::string_view state_text(ConnState state) {
  switch (state) {
    case ConnState::kInvalid: return "INVALID";
    case ConnState::kEstablished: return "ESTABLISHED";
    case ConnState::kRelated: return "RELATED";
    case ConnState::kNew: return "NEW";
    case ConnState::kUntracked: return "UNTRACKED";
  }
  return "";
}

std::optional<ConnState> parse_state(std::string_view text) {
  for (const ConnState state : kStates) {
    if (equal_in_any_case(text, state_text(state))) return state;
  }
  return std::nullopt;
}

std::optional<std::pair<uint8_t, uint8_t>> parse_icmp_type(std::string_view text) {
  const auto number = [](std::string_view part) -> std::optional<uint8_t> {
    uint8_t value = 0;
    const auto [end, problem] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (problem != std::errc{} || end != part.data() + part.size()) return std::nullopt;
    return value;
  };
  const size_t slash = text.find('/');
  const auto type = number(text.substr(0, slash));
  const auto code =
      slash == std::string_view::npos ? std::optional<uint8_t>(uint8_t{0}) : number(text.substr(slash + 1));
  if (!type || !code) return std::nullopt;
  return std::pair(*type, *code);
}

std::string flags_text(uint8_t flags) {
  constexpr std::array<std::string_view, 8> kNames{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
  std::string text;
  for (size_t i = 0; i < kNames.size(); ++i) {
    if ((flags >> i & 1) == 0) continue;
    if (!text.empty()) text += ',';
    text += kNames[i];
  }
  return text.empty() ? "none" : text;
}

std::string_view address_type_text(AddressType type) {
  switch (type) {
    case AddressType::kUnspec: return "UNSPEC";
    case AddressType::kUnicast: return "UNICAST";
    case AddressType::kLocal: return "LOCAL";
    case AddressType::kBroadcast: return "BROADCAST";
    case AddressType::kAnycast: return "ANYCAST";
    case AddressType::kMulticast: return "MULTICAST";
    case AddressType::kBlackhole: return "BLACKHOLE";
    case AddressType::kUnreachable: return "UNREACHABLE";
    case AddressType::kProhibit: return "PROHIBIT";
  }
  return "";
}

std::string_view verdict_text(Verdict verdict) {
  switch (verdict) {
    case Verdict::kAccept: return "accept";
    case Verdict::kReject: return "reject";
    case Verdict::kDrop: return "drop";
    case Verdict::kUnknown: return "unknown";
  }
  return "";
}

std::string endpoint_text(const Endpoint& endpoint) {
  return fmt::format(fmt::runtime(endpoint.address.family == Family::kIpv6 ? "[{}]:{}" : "{}:{}"),
                     to_string(endpoint.address), endpoint.port);
}

std::string packet_text(const Packet& packet) {
  std::string what = protocol_text(packet.protocol);
  if (packet.protocol == protocol::kTcp) what += " " + flags_text(packet.tcp_flags);
  if (packet.is_icmp()) what += fmt::format(" {}/{}", packet.icmp_type, packet.icmp_code);
  std::string way;
  if (!packet.in.empty()) way += fmt::format(" from {}", packet.in.view());
  if (!packet.out.empty()) way += fmt::format(" by {}", packet.out.view());
  const bool with_ports = protocol::carries_ports(packet.protocol);
  return fmt::format(
      "{}, {}{}, {} to {}{}", what, state_text(packet.state), packet.direction == Direction::kReply ? " (reply)" : "",
      with_ports ? endpoint_text({packet.source, packet.source_port}) : to_string(packet.source),
      with_ports ? endpoint_text({packet.destination, packet.destination_port}) : to_string(packet.destination), way);
}

}  // namespace tails::cli
