#include <algorithm>
#include <array>
#include <variant>

#include "ruleset/text_option.h"
#include "ruleset/text_read_names.h"
#include "ruleset/text_values.h"

namespace tails::ruleset::text {
namespace {

using TargetOption = Option<Target>;

Problem read_reject_with(Target& target, const Argument& argument) {
  const std::span<const Word> words = argument.family == Family::kIpv4 ? std::span<const Word>(kRejectsV4) : kRejectsV6;
  const Word* const word = find_word(words, argument.value.value);
  if (word == nullptr) {
    return problem(argument.value, "reject type " + quoted(argument.value.value) + " is not known");
  }
  std::get<Reject>(target).with = word->value;
  return std::nullopt;
}

constexpr std::array<TargetOption, 1> kRejectOptions = {{{"reject-with", 1, false, 0, read_reject_with}}};

template <uint8_t flag>
Problem read_log_flag(Target& target, const Argument&) {
  auto& flags = std::get<Log>(target).flags;
  flags = static_cast<uint8_t>(flags | flag);
  return std::nullopt;
}

Problem read_log_prefix(Target& target, const Argument& argument) {
  if (argument.value.value.empty()) return problem(argument.value, "the prefix is empty");
  // iptables cuts what is longer.
  std::get<Log>(target).prefix = argument.value.value.substr(0, 29);
  return std::nullopt;
}

Problem read_log_level_of(Target& target, const Argument& argument) {
  return store(read_log_level(argument.value), [&](uint8_t level) { std::get<Log>(target).level = level; });
}

constexpr std::array<TargetOption, 7> kLogOptions = {{
    {"log-level", 1, false, 0, read_log_level_of},
    {"log-prefix", 1, false, 1, read_log_prefix},
    {"log-tcp-sequence", 0, false, 2, read_log_flag<1>},
    {"log-tcp-options", 0, false, 3, read_log_flag<2>},
    {"log-ip-options", 0, false, 4, read_log_flag<4>},
    {"log-uid", 0, false, 5, read_log_flag<Log::kUid>},
    {"log-macdecode", 0, false, 6, read_log_flag<0x20>},
}};

Problem read_nflog_prefix(Target& target, const Argument& argument) {
  if (argument.value.value.empty()) return problem(argument.value, "the prefix is empty");
  std::get<Nflog>(target).prefix = argument.value.value.substr(0, 63);
  return std::nullopt;
}

Problem read_nflog_group(Target& target, const Argument& argument) {
  return store(read_number<uint16_t>(argument.value, "group"),
               [&](uint16_t group) { std::get<Nflog>(target).group = group; });
}

Problem read_nflog_size(Target& target, const Argument& argument) {
  return store(read_number<uint32_t>(argument.value, "size"),
               [&](uint32_t size) { std::get<Nflog>(target).size = size; });
}

Problem read_nflog_threshold(Target& target, const Argument& argument) {
  return store(read_number<uint16_t>(argument.value, "threshold"),
               [&](uint16_t threshold) { std::get<Nflog>(target).threshold = threshold; });
}

constexpr std::array<TargetOption, 5> kNflogOptions = {{
    {"nflog-group", 1, false, 0, read_nflog_group},
    {"nflog-prefix", 1, false, 1, read_nflog_prefix},
    {"nflog-size", 1, false, 2, read_nflog_size},
    {"nflog-range", 1, false, 2},
    {"nflog-threshold", 1, false, 3, read_nflog_threshold},
}};

template <class T>
Problem read_to_ports(Target& target, const Argument& argument) {
  return store(read_ports(argument.value, argument.value.value, '-'),
               [&](PortRange ports) { std::get<T>(target).ports = ports; });
}

template <class T>
Problem read_random(Target& target, const Argument&) {
  std::get<T>(target).random = true;
  return std::nullopt;
}

constexpr std::array<TargetOption, 2> kRedirectOptions = {{
    {"to-ports", 1, false, 0, read_to_ports<Redirect>},
    {"random", 0, false, 1, read_random<Redirect>},
}};

constexpr std::array<TargetOption, 3> kMasqueradeOptions = {{
    {"to-ports", 1, false, 0, read_to_ports<Masquerade>},
    {"random", 0, false, 1, read_random<Masquerade>},
    {"random-fully", 0, false, 2,
     [](Target& target, const Argument&) -> Problem {
       std::get<Masquerade>(target).random_fully = true;
       return std::nullopt;
     }},
}};

Read<IpAddress> read_destination(const Token& at, std::string_view text, Family family) {
  const auto address = IpAddress::parse(text);
  if (!address || address->family != family) {
    return fault(at, quoted(text) + " is not an " + (family == Family::kIpv4 ? "IPv4" : "IPv6") + " address");
  }
  return *address;
}

/// "ADDR", "ADDR-ADDR", ":PORT", "ADDR:PORT-PORT"; IPv6 with a port "[ADDR-ADDR]:PORT". A shifted range of ports
/// ("80-90/8080") is more than Dnat holds.
Problem read_to_destination(Target& target, const Argument& argument) {
  const Token& at = argument.value;
  std::string_view addresses = at.value;
  std::string_view ports;
  bool has_ports = false;
  const size_t bracket = addresses.find('[');
  if (bracket != std::string_view::npos) {
    const size_t end = addresses.find(']');
    const std::string_view behind = end == std::string_view::npos ? "" : addresses.substr(end + 1);
    const bool is_form = bracket == 0 && end != std::string_view::npos && argument.family == Family::kIpv6 &&
                         (behind.empty() || behind.front() == ':');
    if (!is_form) return problem(at, quoted(at.value) + " is not [ADDRESS]:PORT");
    has_ports = !behind.empty();
    if (has_ports) ports = behind.substr(1);
    addresses = addresses.substr(1, end - 1);
  } else if (const size_t colon = addresses.find(':');
             colon != std::string_view::npos && addresses.find(':', colon + 1) == std::string_view::npos) {
    has_ports = true;
    ports = addresses.substr(colon + 1);
    addresses = addresses.substr(0, colon);
  }
  Dnat dnat = std::get<Dnat>(target);
  if (has_ports) {
    if (ports.find('/') != std::string_view::npos) {
      target = OpaqueTarget{};
      return std::nullopt;
    }
    const auto range = read_ports(at, ports, '-');
    if (!range) return range.error();
    dnat.ports = *range;
  }
  if (!addresses.empty() || !has_ports) {
    const size_t dash = addresses.find('-');
    const auto first = read_destination(at, addresses.substr(0, dash), argument.family);
    if (!first) return first.error();
    dnat.first = dnat.last = *first;
    if (dash != std::string_view::npos) {
      const auto last = read_destination(at, addresses.substr(dash + 1), argument.family);
      if (!last) return last.error();
      dnat.last = *last;
    }
  }
  target = dnat;
  return std::nullopt;
}

constexpr std::array<TargetOption, 3> kDnatOptions = {{
    {"to-destination", 1, false, 0, read_to_destination},
    {"random", 0, false, 1, read_random<Dnat>},
    {"persistent", 0, false, 2,
     [](Target& target, const Argument&) -> Problem {
       std::get<Dnat>(target).persistent = true;
       return std::nullopt;
     }},
}};

// Five ways to write one operation, (old & ~mask) ^ value: iptables(8), "MARK".
enum class MarkVerb : uint8_t { kSetXmark, kSetMark, kAnd, kOr, kXor };

MarkAndMask operation(MarkVerb verb, MarkAndMask given) {
  switch (verb) {
    case MarkVerb::kSetXmark: return given;
    case MarkVerb::kSetMark: return {given.mark, given.mark | given.mask};
    case MarkVerb::kAnd: return {0, ~given.mark};
    case MarkVerb::kOr: return {given.mark, given.mark};
    case MarkVerb::kXor: return {given.mark, 0};
  }
  return given;
}

template <MarkVerb verb>
Read<MarkAndMask> read_operation(const Argument& argument) {
  const bool takes_mask = verb == MarkVerb::kSetXmark || verb == MarkVerb::kSetMark;
  if (!takes_mask) {
    return read_number<uint32_t>(argument.value, "mark").map([](uint32_t mark) {
      return operation(verb, {mark, 0xFFFFFFFF});
    });
  }
  return read_mark(argument.value).map([](MarkAndMask given) { return operation(verb, given); });
}

template <MarkVerb verb>
Problem read_set_mark(Target& target, const Argument& argument) {
  return store(read_operation<verb>(argument), [&](MarkAndMask result) { target = SetMark{result.mark, result.mask}; });
}

constexpr std::array<TargetOption, 5> kSetMarkOptions = {{
    {"set-xmark", 1, false, 0, read_set_mark<MarkVerb::kSetXmark>},
    {"set-mark", 1, false, 0, read_set_mark<MarkVerb::kSetMark>},
    {"and-mark", 1, false, 0, read_set_mark<MarkVerb::kAnd>},
    {"or-mark", 1, false, 0, read_set_mark<MarkVerb::kOr>},
    {"xor-mark", 1, false, 0, read_set_mark<MarkVerb::kXor>},
}};

template <MarkVerb verb>
Problem read_set_connmark(Target& target, const Argument& argument) {
  return store(read_operation<verb>(argument), [&](MarkAndMask result) {
    auto& to = std::get<SetConnmark>(target);
    to.mode = SetConnmark::Mode::kSet;
    to.value = result.mark;
    to.ctmask = result.mask;
  });
}

template <SetConnmark::Mode mode>
Problem read_connmark_mode(Target& target, const Argument&) {
  std::get<SetConnmark>(target).mode = mode;
  return std::nullopt;
}

template <bool nf, bool ct>
Problem read_connmark_mask(Target& target, const Argument& argument) {
  return store(read_number<uint32_t>(argument.value, "mask"), [&](uint32_t mask) {
    auto& to = std::get<SetConnmark>(target);
    if (nf) to.nfmask = mask;
    if (ct) to.ctmask = mask;
  });
}

constexpr std::array<TargetOption, 12> kSetConnmarkOptions = {{
    {"set-xmark", 1, false, 0, read_set_connmark<MarkVerb::kSetXmark>},
    {"set-mark", 1, false, 0, read_set_connmark<MarkVerb::kSetMark>},
    {"and-mark", 1, false, 0, read_set_connmark<MarkVerb::kAnd>},
    {"or-mark", 1, false, 0, read_set_connmark<MarkVerb::kOr>},
    {"xor-mark", 1, false, 0, read_set_connmark<MarkVerb::kXor>},
    {"save-mark", 0, false, 0, read_connmark_mode<SetConnmark::Mode::kSave>},
    {"restore-mark", 0, false, 0, read_connmark_mode<SetConnmark::Mode::kRestore>},
    {"nfmask", 1, false, 1, read_connmark_mask<true, false>},
    {"ctmask", 1, false, 2, read_connmark_mask<false, true>},
    {"mask", 1, false, 3, read_connmark_mask<true, true>},
    {"left-shift-mark", 1, false, 4},
    {"right-shift-mark", 1, false, 4},
}};

Problem read_set_dscp(Target& target, const Argument& argument) {
  return store(read_number<uint8_t>(argument.value, "DSCP", 0, 63), [&](uint8_t dscp) { target = SetDscp{dscp}; });
}

Problem read_set_dscp_class(Target& target, const Argument& argument) {
  return store(read_dscp_class(argument.value), [&](uint8_t dscp) { target = SetDscp{dscp}; });
}

constexpr std::array<TargetOption, 2> kSetDscpOptions = {{
    {"set-dscp", 1, false, 0, read_set_dscp},
    {"set-dscp-class", 1, false, 0, read_set_dscp_class},
}};

const std::array<Extension<Target>, 13> kTargets = {{
    {"ACCEPT", Accept{}, {}},
    {"DROP", Drop{}, {}},
    {"RETURN", Return{}, {}},
    {"REJECT", Reject{Reject::kPortUnreachableV4}, kRejectOptions},
    {"REJECT", Reject{Reject::kPortUnreachableV6}, kRejectOptions},
    {"LOG", Log{}, kLogOptions},
    {"NFLOG", Nflog{}, kNflogOptions},
    {"REDIRECT", Redirect{}, kRedirectOptions},
    {"MASQUERADE", Masquerade{}, kMasqueradeOptions},
    {"DNAT", Dnat{}, kDnatOptions, 1, "--to-destination"},
    {"MARK", SetMark{}, kSetMarkOptions, 1, "--set-xmark, --set-mark, --and-mark, --or-mark or --xor-mark"},
    {"CONNMARK", SetConnmark{}, kSetConnmarkOptions, 1, "--set-mark, --save-mark or --restore-mark"},
    {"DSCP", SetDscp{}, kSetDscpOptions, 1, "--set-dscp or --set-dscp-class"},
}};

}  // namespace

const Extension<Target>* find_target(std::string_view name, Family family) {
  const auto* at = std::ranges::find(kTargets, name, &Extension<Target>::name);
  if (name == "REJECT" && family == Family::kIpv6) ++at;
  return at == kTargets.end() ? nullptr : at;
}

}  // namespace tails::ruleset::text
