#include "cli/flow_words.h"

#include <charconv>

#include <fmt/format.h>

#include "cli/packet_words.h"

namespace tails::cli {
namespace {

using conntrack::Flow;

bool has_ports(const FlowTuple& tuple) {
  return !tuple.is_icmp() && (tuple.source.port != 0 || tuple.destination.port != 0);
}

std::string_view state_text(const Flow& flow) {
  if (flow.tcp_state) return to_string(*flow.tcp_state);
  return flow.has_reply() ? "REPLIED" : "UNREPLIED";
}

std::string end_text(const Flow& flow, const Endpoint& end) {
  return has_ports(flow.original) ? endpoint_text(end) : to_string(end.address);
}

std::string port_json(const Flow& flow, Port port) { return has_ports(flow.original) ? std::to_string(port) : "null"; }

/// Decimal, or hexadecimal after "0x".
std::optional<uint32_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  uint32_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (text.empty() || problem != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<conntrack::MarkTest> parse_mark(std::string_view text) {
  const size_t slash = text.find('/');
  const auto value = parse_number(text.substr(0, slash));
  if (!value) return std::nullopt;
  if (slash == std::string_view::npos) return conntrack::MarkTest{*value};
  const auto mask = parse_number(text.substr(slash + 1));
  if (!mask) return std::nullopt;
  return conntrack::MarkTest{*value, *mask};
}

template <class T, class Parse>
Result<std::optional<T>> option(const Arguments& arguments, std::string_view name, std::string_view what, Parse parse) {
  const auto text = arguments.value(name);
  if (!text) return std::nullopt;
  const std::optional<T> value = parse(*text);
  if (!value) return fail(ErrorKind::kUsage, fmt::format("{} takes {}, not \"{}\"", name, what, *text));
  return value;
}

}  // namespace

std::string flow_text(const Flow& flow) {
  std::string text = fmt::format("{:<6} {:<11} {} -> {}", protocol_text(flow.original.protocol), state_text(flow),
                                 end_text(flow, flow.original.source), end_text(flow, flow.original.destination));
  if (flow.real_destination() != flow.original.destination && !flow.original.is_icmp()) {
    text += fmt::format(" ({})", end_text(flow, flow.real_destination()));
  }
  return text;
}

std::string flow_json(const Flow& flow, const conntrack::Opinion& opinion) {
  const FlowTuple& tuple = flow.original;
  const bool is_moved = flow.real_destination() != tuple.destination && !tuple.is_icmp();
  return fmt::format(
      R"({{"proto":"{}","src":"{}","sport":{},"dst":"{}","dport":{},"state":"{}","uid":{},"judgement":"{}",)"
      R"("hook":"{}","redirected_to":{},"dead":{},"mark":{},"zone":{}}})",
      protocol_text(tuple.protocol), to_string(tuple.source.address), port_json(flow, tuple.source.port),
      to_string(tuple.destination.address), port_json(flow, tuple.destination.port), state_text(flow),
      opinion.owner ? std::to_string(opinion.owner->value) : "null", to_string(opinion.judgement),
      hook_text(opinion.hook), is_moved ? fmt::format("\"{}\"", endpoint_text(flow.real_destination())) : "null",
      opinion.is_dead, flow.mark.value, flow.zone.id);
}

std::string removal_text(const conntrack::RemovalReport& report) {
  const auto count = [](uint64_t number, std::string_view one) {
    return fmt::format("{} {}{}", number, one, number == 1 ? "" : "s");
  };
  std::string text = fmt::format("removed {}", count(report.removed, "flow"));
  if (report.sockets_ended > 0) text += fmt::format(", ended {}", count(report.sockets_ended, "socket"));
  if (report.sockets_left > 0) {
    text +=
        fmt::format(", could not end {} (their programs wait for a time-out)", count(report.sockets_left, "socket"));
  }
  return text;
}

Result<conntrack::FlowFilter> flow_filter(const Arguments& arguments) {
  conntrack::FlowFilter filter;
  constexpr std::string_view kPrefix = "an address or a network such as 10.0.0.0/8";
  const auto parse_prefix = [](std::string_view text) { return Prefix::parse(text); };
  auto to = option<Prefix>(arguments, "--to", kPrefix, parse_prefix);
  if (!to) return tl::unexpected(to.error());
  auto from = option<Prefix>(arguments, "--from", kPrefix, parse_prefix);
  if (!from) return tl::unexpected(from.error());
  const Family family = *to ? (*to)->family() : *from ? (*from)->family() : Family::kIpv4;
  auto protocol = option<uint8_t>(arguments, "--proto", "tcp, udp, icmp or a number from 0 to 255",
                                  [&](std::string_view text) { return parse_protocol(text, family); });
  if (!protocol) return tl::unexpected(protocol.error());
  auto mark = option<conntrack::MarkTest>(arguments, "--mark", "a number, or number/mask", parse_mark);
  if (!mark) return tl::unexpected(mark.error());
  const auto zone = arguments.number("--zone", 0, 65535);
  if (!zone) return tl::unexpected(zone.error());
  if (*to && *from && (*to)->family() != (*from)->family()) {
    return fail(ErrorKind::kUsage, "--to and --from are of different families");
  }
  filter.to = *to;
  filter.from = *from;
  filter.protocol = *protocol;
  filter.mark = *mark;
  if (*zone) filter.zone = static_cast<uint16_t>(**zone);
  return filter;
}

}  // namespace tails::cli
