#include "policy/grammar.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <utility>

#include "net/nearest.h"

namespace tails::policy {
namespace {

constexpr std::array<std::string_view, 2> kProtocols = {"tcp", "udp"};

tl::unexpected<Wrong> wrong(std::string message, std::string remedy) {
  return tl::unexpected<Wrong>(Wrong{std::move(message), std::move(remedy)});
}

/// A whole string of decimal digits; nullopt for anything else. What exceeds 64 bits becomes the largest number.
std::optional<uint64_t> parse_number(std::string_view digits) {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} ? value : UINT64_MAX;
}

/// `before` is what stands before the ports in the whole notation: "tcp/" or nothing.
Result<PortRange, Wrong> parse_ports(std::string_view ports, std::string_view before) {
  const size_t dash = ports.find('-');
  const std::string_view first_digits = ports.substr(0, dash);
  const std::string_view last_digits = dash == std::string_view::npos ? first_digits : ports.substr(dash + 1);
  const auto first = parse_number(first_digits);
  const auto last = parse_number(last_digits);
  if (!first || !last) {
    return wrong(fmt::format("\"{}{}\" names no port", before, ports),
                 fmt::format(R"(Write a number or a range: "{0}9050", "{0}6000-6010".)", before));
  }
  for (const auto& [value, digits] : {std::pair(*first, first_digits), std::pair(*last, last_digits)}) {
    if (value == 0) {
      return wrong("port 0 cannot be used", before.empty()
                                                ? "Ports go from 1 to 65535."
                                                : fmt::format("Ports go from 1 to 65535; \"{}\" alone means any.",
                                                              before.substr(0, before.size() - 1)));
    }
    if (value > 65535) return wrong(fmt::format("port {} is over 65535", digits), "Ports go from 1 to 65535.");
  }
  if (*first > *last) {
    return wrong(fmt::format("the range {}-{} is empty", *first, *last),
                 fmt::format("did you mean \"{}{}-{}\"?", before, *last, *first));
  }
  return PortRange{static_cast<Port>(*first), static_cast<Port>(*last)};
}

struct Unit {
  std::string_view name;
  uint64_t seconds;
};
constexpr std::array kUnits = {Unit{"second", 1}, Unit{"minute", 60}, Unit{"hour", 3600}, Unit{"day", 86400}};

}  // namespace

Result<PortGrant, Wrong> parse_port_grant(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view name = text.substr(0, slash);
  if (name != kProtocols[0] && name != kProtocols[1]) {
    const auto near = nearest(name, kProtocols);
    const std::string rest(slash == std::string_view::npos ? std::string_view{} : text.substr(slash));
    return wrong(fmt::format("\"{}\" does not start with a protocol", text),
                 near ? fmt::format("did you mean \"{}{}\"?", *near, rest)
                      : R"(Write "tcp/9050", "udp/6000-6010", or "tcp" for any port.)");
  }
  const uint8_t number = name == kProtocols[0] ? protocol::kTcp : protocol::kUdp;
  if (slash == std::string_view::npos) return PortGrant{number, {}};
  return parse_ports(text.substr(slash + 1), text.substr(0, slash + 1)).map([&](PortRange range) {
    return PortGrant{number, range};
  });
}

std::string to_string(const PortGrant& grant) {
  const std::string_view name = grant.protocol == protocol::kTcp ? kProtocols[0] : kProtocols[1];
  if (grant.ports.is_any()) return std::string(name);
  if (grant.ports.first == grant.ports.last) return fmt::format("{}/{}", name, grant.ports.first);
  return fmt::format("{}/{}-{}", name, grant.ports.first, grant.ports.last);
}

Result<PortRange, Wrong> parse_port_range(std::string_view text) { return parse_ports(text, {}); }

Result<ruleset::LimitMatch, Wrong> parse_rate(std::string_view text) {
  const auto bad = [&] {
    return wrong(fmt::format("\"{}\" is no rate", text), R"(Write "20/second" or "20/minute burst 100".)");
  };
  constexpr std::string_view kBurst = " burst ";
  const size_t burst_at = text.find(kBurst);
  const std::string_view rate = text.substr(0, burst_at);
  const size_t slash = rate.find('/');
  if (slash == std::string_view::npos) return bad();
  const auto count = parse_number(rate.substr(0, slash));
  const Unit* unit = nullptr;
  for (const Unit& candidate : kUnits) {
    if (candidate.name == rate.substr(slash + 1)) unit = &candidate;
  }
  if (!count || unit == nullptr) return bad();

  // linux/netfilter/xt_limit.h: the cost of one packet in units of 1/10,000 second, at least one unit.
  constexpr uint64_t kScale = 10000;
  if (*count == 0) return wrong("a rate of 0 would log nothing", "To log nothing, say log = \"none\".");
  if (*count > kScale * unit->seconds) {
    return wrong(fmt::format("{} is faster than the kernel can count", rate), "At most 10000/second.");
  }
  ruleset::LimitMatch limit{static_cast<uint32_t>(kScale * unit->seconds / *count), 5};
  if (burst_at != std::string_view::npos) {
    const auto burst = parse_number(text.substr(burst_at + kBurst.size()));
    if (!burst) return bad();
    if (*burst == 0 || *burst > 10000) {
      return wrong(fmt::format("a burst of {} cannot be used", *burst), "A burst goes from 1 to 10000.");
    }
    limit.burst = static_cast<uint32_t>(*burst);
  }
  // The kernel counts credits in 32 bits, a day's worth at most (net/netfilter/xt_limit.c, limit_mt_check: ERANGE).
  constexpr uint64_t kDay = kScale * 86400;
  if (uint64_t{limit.average} * limit.burst > kDay) {
    return wrong(fmt::format("a burst of {} at {} spans more than a day", limit.burst, rate),
                 "The kernel cannot count that far: lower the burst or raise the rate.");
  }
  return limit;
}

}  // namespace tails::policy
