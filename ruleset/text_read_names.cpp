#include "ruleset/text_read_names.h"

#include <algorithm>
#include <array>
#include <span>

#include "ruleset/text_names.h"
#include "ruleset/text_values.h"

namespace tails::ruleset::text {
namespace {

struct IcmpName {
  std::string_view name;
  uint8_t type;
  uint8_t code_min = 0;
  uint8_t code_max = 255;
};

constexpr IcmpName of_code(std::string_view name, uint8_t type, uint8_t code) { return {name, type, code, code}; }

// RFC 792 and RFC 4443 by the names of `iptables -p icmp -h`.
constexpr std::array<IcmpName, 40> kIcmpNames = {{
    {"any", 255},
    {"echo-reply", 0},
    {"pong", 0},
    {"destination-unreachable", 3},
    of_code("network-unreachable", 3, 0),
    of_code("host-unreachable", 3, 1),
    of_code("protocol-unreachable", 3, 2),
    of_code("port-unreachable", 3, 3),
    of_code("fragmentation-needed", 3, 4),
    of_code("source-route-failed", 3, 5),
    of_code("network-unknown", 3, 6),
    of_code("host-unknown", 3, 7),
    of_code("network-prohibited", 3, 9),
    of_code("host-prohibited", 3, 10),
    of_code("TOS-network-unreachable", 3, 11),
    of_code("TOS-host-unreachable", 3, 12),
    of_code("communication-prohibited", 3, 13),
    of_code("host-precedence-violation", 3, 14),
    of_code("precedence-cutoff", 3, 15),
    {"source-quench", 4},
    {"redirect", 5},
    of_code("network-redirect", 5, 0),
    of_code("host-redirect", 5, 1),
    of_code("TOS-network-redirect", 5, 2),
    of_code("TOS-host-redirect", 5, 3),
    {"echo-request", 8},
    {"ping", 8},
    {"router-advertisement", 9},
    {"router-solicitation", 10},
    {"time-exceeded", 11},
    {"ttl-exceeded", 11},
    of_code("ttl-zero-during-transit", 11, 0),
    of_code("ttl-zero-during-reassembly", 11, 1),
    {"parameter-problem", 12},
    of_code("ip-header-bad", 12, 0),
    of_code("required-option-missing", 12, 1),
    {"timestamp-request", 13},
    {"timestamp-reply", 14},
    {"address-mask-request", 17},
    {"address-mask-reply", 18},
}};

constexpr std::array<IcmpName, 28> kIcmpv6Names = {{
    {"destination-unreachable", 1},
    of_code("no-route", 1, 0),
    of_code("communication-prohibited", 1, 1),
    of_code("beyond-scope", 1, 2),
    of_code("address-unreachable", 1, 3),
    of_code("port-unreachable", 1, 4),
    of_code("failed-policy", 1, 5),
    of_code("reject-route", 1, 6),
    {"packet-too-big", 2},
    {"time-exceeded", 3},
    {"ttl-exceeded", 3},
    of_code("ttl-zero-during-transit", 3, 0),
    of_code("ttl-zero-during-reassembly", 3, 1),
    {"parameter-problem", 4},
    of_code("bad-header", 4, 0),
    of_code("unknown-header-type", 4, 1),
    of_code("unknown-option", 4, 2),
    {"echo-request", 128},
    {"ping", 128},
    {"echo-reply", 129},
    {"pong", 129},
    {"router-solicitation", 133},
    {"router-advertisement", 134},
    {"neighbour-solicitation", 135},
    {"neighbor-solicitation", 135},
    {"neighbour-advertisement", 136},
    {"neighbor-advertisement", 136},
    {"redirect", 137},
}};

IcmpMatch to_match(Family family, unsigned type, unsigned code_min, unsigned code_max) {
  // 255 is the IPv4 kernel's "any", and it does not look at the codes then.
  if (family == Family::kIpv4 && type == 255) return {};
  IcmpMatch match;
  match.type = static_cast<uint8_t>(type);
  match.code_min = static_cast<uint8_t>(code_min);
  match.code_max = static_cast<uint8_t>(code_max);
  return match;
}

Read<IcmpMatch> read_numbers(const Token& at, Family family) {
  const size_t slash = at.value.find('/');
  const auto type = read_number(at, at.value.substr(0, slash), 0, 255, "ICMP type");
  if (!type) return tl::unexpected(type.error());
  const auto type_number = static_cast<unsigned>(*type);
  if (slash == std::string_view::npos) return to_match(family, type_number, 0, 255);
  const std::string_view codes = at.value.substr(slash + 1);
  const size_t colon = codes.find(':');
  const auto first = read_number(at, codes.substr(0, colon), 0, 255, "ICMP code");
  if (!first) return tl::unexpected(first.error());
  const auto last =
      colon == std::string_view::npos ? first : read_number(at, codes.substr(colon + 1), 0, 255, "ICMP code");
  if (!last) return tl::unexpected(last.error());
  return to_match(family, type_number, static_cast<unsigned>(*first), static_cast<unsigned>(*last));
}

}  // namespace

Read<IcmpMatch> read_icmp_type(const Token& at, Family family) {
  if (!at.value.empty() && at.value.front() >= '0' && at.value.front() <= '9') return read_numbers(at, family);
  const std::span<const IcmpName> names =
      family == Family::kIpv4 ? std::span<const IcmpName>(kIcmpNames) : kIcmpv6Names;
  const IcmpName* found = nullptr;
  for (const IcmpName& name : names) {
    if (at.value.empty() || name.name.size() < at.value.size() ||
        !equals_ignoring_case(name.name.substr(0, at.value.size()), at.value)) {
      continue;
    }
    if (found != nullptr) {
      return fault(at, "ICMP type " + quoted(at.value) + " can be " + quoted(found->name) + " or " + quoted(name.name));
    }
    found = &name;
  }
  if (found == nullptr) return fault(at, "ICMP type " + quoted(at.value) + " is not known");
  return to_match(family, found->type, found->code_min, found->code_max);
}

Read<uint8_t> read_dscp_class(const Token& at) {
  // RFC 2474 (CS), RFC 2597 (AF), RFC 3246 (EF); BE is CS0.
  constexpr std::array<Word, 22> kClasses = {
      {{0x00, "CS0"},  {0x08, "CS1"},  {0x10, "CS2"},  {0x18, "CS3"},  {0x20, "CS4"},  {0x28, "CS5"},
       {0x30, "CS6"},  {0x38, "CS7"},  {0x00, "BE"},   {0x0A, "AF11"}, {0x0C, "AF12"}, {0x0E, "AF13"},
       {0x12, "AF21"}, {0x14, "AF22"}, {0x16, "AF23"}, {0x1A, "AF31"}, {0x1C, "AF32"}, {0x1E, "AF33"},
       {0x22, "AF41"}, {0x24, "AF42"}, {0x26, "AF43"}, {0x2E, "EF"}}};
  for (const auto& [value, name] : kClasses) {
    if (equals_ignoring_case(name, at.value)) return static_cast<uint8_t>(value);
  }
  return fault(at, "DSCP class " + quoted(at.value) + " is not known");
}

Read<uint8_t> read_log_level(const Token& at) {
  constexpr std::array<Word, 9> kLevels = {{{0, "emerg"},
                                            {0, "panic"},
                                            {1, "alert"},
                                            {2, "crit"},
                                            {3, "error"},
                                            {4, "warning"},
                                            {5, "notice"},
                                            {6, "info"},
                                            {7, "debug"}}};
  const auto* const word = std::ranges::find(kLevels, at.value, &Word::name);
  if (word != kLevels.end()) return static_cast<uint8_t>(word->value);
  return read_number<uint8_t>(at, "log level", 0, 7);
}

}  // namespace tails::ruleset::text
