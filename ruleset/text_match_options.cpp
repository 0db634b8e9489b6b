#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "ruleset/text_option.h"
#include "ruleset/text_read_names.h"
#include "ruleset/text_values.h"

namespace tails::ruleset::text {
namespace {

using MatchOption = Option<Match>;

template <class M>
Problem read_source_ports(Match& match, const Argument& argument) {
  auto& to = std::get<M>(match);
  to.source_inverted = argument.inverted;
  return store(read_ports(argument.value, argument.value.value, ':'), [&](PortRange ports) { to.source = ports; });
}

template <class M>
Problem read_destination_ports(Match& match, const Argument& argument) {
  auto& to = std::get<M>(match);
  to.destination_inverted = argument.inverted;
  return store(read_ports(argument.value, argument.value.value, ':'), [&](PortRange ports) { to.destination = ports; });
}

Read<uint8_t> read_tcp_flags(const Token& at) {
  uint8_t flags = 0;
  std::string_view rest = at.value;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view name = rest.substr(0, comma);
    const auto* const word =
        std::ranges::find_if(kTcpFlags, [&](const Word& flag) { return equals_ignoring_case(flag.name, name); });
    if (word != kTcpFlags.end()) {
      flags |= static_cast<uint8_t>(word->value);
    } else if (equals_ignoring_case(name, "ALL")) {
      flags |= 0x3F;
    } else if (!equals_ignoring_case(name, "NONE")) {
      return fault(at, "TCP flag " + quoted(name) + " is not known");
    }
    if (comma == std::string_view::npos) return flags;
    rest.remove_prefix(comma + 1);
  }
}

Problem read_flags(Match& match, const Argument& argument) {
  auto& to = std::get<TcpMatch>(match);
  to.flags_inverted = argument.inverted;
  const auto mask = read_tcp_flags(argument.value);
  if (!mask) return mask.error();
  to.flag_mask = *mask;
  return store(read_tcp_flags(argument.second), [&](uint8_t flags) { to.flag_compare = flags; });
}

Problem read_syn(Match& match, const Argument& argument) {
  auto& to = std::get<TcpMatch>(match);
  to.flags_inverted = argument.inverted;
  to.flag_mask = tcp_flag::kSynMask;
  to.flag_compare = tcp_flag::kSyn;
  return std::nullopt;
}

Problem read_tcp_option(Match& match, const Argument& argument) {
  auto& to = std::get<TcpMatch>(match);
  to.option_inverted = argument.inverted;
  return store(read_number<uint8_t>(argument.value, "TCP option", 1), [&](uint8_t number) { to.option = number; });
}

constexpr std::array<MatchOption, 7> kTcpOptions = {{
    {"source-port", 1, true, 0, read_source_ports<TcpMatch>},
    {"sport", 1, true, 0, read_source_ports<TcpMatch>},
    {"destination-port", 1, true, 1, read_destination_ports<TcpMatch>},
    {"dport", 1, true, 1, read_destination_ports<TcpMatch>},
    {"syn", 0, true, 2, read_syn},
    {"tcp-flags", 2, true, 2, read_flags},
    {"tcp-option", 1, true, 3, read_tcp_option},
}};

constexpr std::array<MatchOption, 4> kUdpOptions = {{
    {"source-port", 1, true, 0, read_source_ports<UdpMatch>},
    {"sport", 1, true, 0, read_source_ports<UdpMatch>},
    {"destination-port", 1, true, 1, read_destination_ports<UdpMatch>},
    {"dport", 1, true, 1, read_destination_ports<UdpMatch>},
}};

Problem read_icmp_type(Match& match, const Argument& argument) {
  auto read = text::read_icmp_type(argument.value, argument.family);
  if (!read) return std::move(read.error());
  match = *read;
  std::get<IcmpMatch>(match).inverted = argument.inverted;
  return std::nullopt;
}

constexpr std::array<MatchOption, 1> kIcmpOptions = {{{"icmp-type", 1, true, 0, read_icmp_type}}};
constexpr std::array<MatchOption, 1> kIcmp6Options = {{{"icmpv6-type", 1, true, 0, read_icmp_type}}};

template <MultiportMatch::Side side>
Problem read_multiport(Match& match, const Argument& argument) {
  auto& to = std::get<MultiportMatch>(match);
  to.side = side;
  to.inverted = argument.inverted;
  size_t places = 0;
  std::string_view rest = argument.value.value;
  while (true) {
    const size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const bool is_range = item.find(':') != std::string_view::npos;
    if (is_range && (item.front() == ':' || item.back() == ':')) {
      return problem(argument.value, "the range " + quoted(item) + " has only one end");
    }
    const auto ports = read_ports(argument.value, item, ':');
    if (!ports) return ports.error();
    places += is_range ? 2 : 1;
    if (places > MultiportMatch::kMaxPlaces) {
      return problem(argument.value, "more than 15 ports", "A range counts as two: use several rules.");
    }
    to.ports.push_back(*ports);
    if (comma == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(comma + 1);
  }
}

constexpr std::array<MatchOption, 5> kMultiportOptions = {{
    {"source-ports", 1, true, 0, read_multiport<MultiportMatch::Side::kSource>},
    {"sports", 1, true, 0, read_multiport<MultiportMatch::Side::kSource>},
    {"destination-ports", 1, true, 0, read_multiport<MultiportMatch::Side::kDestination>},
    {"dports", 1, true, 0, read_multiport<MultiportMatch::Side::kDestination>},
    {"ports", 1, true, 0, read_multiport<MultiportMatch::Side::kEither>},
}};

Read<OwnerMatch::Range> read_ids(const Argument& argument, std::string_view what) {
  const std::string_view text = argument.value.value;
  const bool is_name = text.empty() || text.front() < '0' || text.front() > '9';  // It may hold a '-' as well.
  const size_t middle = is_name ? std::string_view::npos : text.find_first_of("-:");
  // The last number means "nobody" to the kernel.
  const auto first = read_number(argument.value, text.substr(0, middle), 0, kInvalidId - 1, what);
  if (!first) return tl::unexpected(first.error());
  OwnerMatch::Range range{static_cast<uint32_t>(*first), static_cast<uint32_t>(*first), argument.inverted};
  if (middle == std::string_view::npos) return range;
  const auto last = read_number(argument.value, text.substr(middle + 1), 0, kInvalidId - 1, what);
  if (!last) return tl::unexpected(last.error());
  range.last = static_cast<uint32_t>(*last);
  return range;
}

Problem read_uid(Match& match, const Argument& argument) {
  return store(read_ids(argument, "user"), [&](OwnerMatch::Range ids) { std::get<OwnerMatch>(match).uid = ids; });
}

Problem read_gid(Match& match, const Argument& argument) {
  return store(read_ids(argument, "group"), [&](OwnerMatch::Range ids) { std::get<OwnerMatch>(match).gid = ids; });
}

Problem read_socket_exists(Match& match, const Argument& argument) {
  std::get<OwnerMatch>(match).socket_exists = !argument.inverted;
  return std::nullopt;
}

Problem read_suppl_groups(Match& match, const Argument& argument) {
  auto& to = std::get<OwnerMatch>(match);
  if (!to.gid) return problem(argument.option, "--suppl-groups needs --gid-owner before it");
  to.supplementary_groups = true;
  return std::nullopt;
}

constexpr std::array<MatchOption, 4> kOwnerOptions = {{
    {"uid-owner", 1, true, 0, read_uid},
    {"gid-owner", 1, true, 1, read_gid},
    {"socket-exists", 0, true, 2, read_socket_exists},
    {"suppl-groups", 0, false, 3, read_suppl_groups},
}};

Problem read_state(Match& match, const Argument& argument) {
  auto& to = std::get<StateMatch>(match);
  to.inverted = argument.inverted;
  return store(read_words(argument.value, std::span(kStates).first(kStatesOfStateMatch), "state"),
               [&](uint32_t bits) { to.states = StateSet::from_bits(static_cast<uint16_t>(bits)); });
}

constexpr std::array<MatchOption, 1> kStateOptions = {{{"state", 1, true, 0, read_state}}};

Problem read_ctstate(Match& match, const Argument& argument) {
  auto& to = std::get<ConntrackMatch>(match);
  to.state_inverted = argument.inverted;
  return store(read_words(argument.value, kStates, "state"),
               [&](uint32_t bits) { to.state_mask = static_cast<uint16_t>(bits); });
}

Problem read_ctstatus(Match& match, const Argument& argument) {
  static constexpr std::array<Word, 5> kWords = {kStatuses[0], kStatuses[1], kStatuses[2], kStatuses[3], {0, "NONE"}};
  auto& to = std::get<ConntrackMatch>(match);
  to.status_inverted = argument.inverted;
  return store(read_words(argument.value, kWords, "status"),
               [&](uint32_t bits) { to.status_mask = static_cast<uint16_t>(bits); });
}

Problem read_ctdir(Match& match, const Argument& argument) {
  auto& to = std::get<ConntrackMatch>(match);
  if (equals_ignoring_case(argument.value.value, "ORIGINAL")) {
    to.direction = Direction::kOriginal;
  } else if (equals_ignoring_case(argument.value.value, "REPLY")) {
    to.direction = Direction::kReply;
  } else {
    return problem(argument.value, "direction " + quoted(argument.value.value) + " is neither ORIGINAL nor REPLY")
        .value();
  }
  return std::nullopt;
}

constexpr std::array<MatchOption, 13> kConntrackOptions = {{
    {"ctstate", 1, true, 0, read_ctstate},
    {"ctstatus", 1, true, 1, read_ctstatus},
    {"ctdir", 1, false, 2, read_ctdir},
    {"ctproto", 1, true, 3},
    {"ctorigsrc", 1, true, 4},
    {"ctorigdst", 1, true, 5},
    {"ctreplsrc", 1, true, 6},
    {"ctrepldst", 1, true, 7},
    {"ctorigsrcport", 1, true, 8},
    {"ctorigdstport", 1, true, 9},
    {"ctreplsrcport", 1, true, 10},
    {"ctrepldstport", 1, true, 11},
    {"ctexpire", 1, true, 12},
}};

Problem read_limit(Match& match, const Argument& argument) {
  static constexpr std::array<Word, 4> kUnits = {
      {{10'000, "second"}, {600'000, "minute"}, {36'000'000, "hour"}, {864'000'000, "day"}}};
  const std::string_view text = argument.value.value;
  const size_t slash = text.find('/');
  const Word* unit = kUnits.data();
  if (slash != std::string_view::npos) {
    unit = find_word(kUnits, text.substr(slash + 1));
    if (unit == nullptr) return problem(argument.value, "unit " + quoted(text.substr(slash + 1)) + " is not known");
  }
  // A faster rate would cost nothing.
  return store(read_number(argument.value, text.substr(0, slash), 1, unit->value, "rate"),
               [&](uint64_t rate) { std::get<LimitMatch>(match).average = static_cast<uint32_t>(unit->value / rate); });
}

Problem read_limit_burst(Match& match, const Argument& argument) {
  return store(read_number<uint32_t>(argument.value, "burst", 0, 10'000),
               [&](uint32_t burst) { std::get<LimitMatch>(match).burst = burst; });
}

constexpr std::array<MatchOption, 2> kLimitOptions = {{
    {"limit", 1, false, 0, read_limit},
    {"limit-burst", 1, false, 1, read_limit_burst},
}};

template <class M>
Problem read_mark_test(Match& match, const Argument& argument) {
  return store(read_mark(argument.value), [&](MarkAndMask mark) {
    match = M{mark.mark, mark.mask, argument.inverted};
  });
}

constexpr std::array<MatchOption, 1> kMarkOptions = {{{"mark", 1, true, 0, read_mark_test<MarkMatch>}}};
constexpr std::array<MatchOption, 1> kConnmarkOptions = {{{"mark", 1, true, 0, read_mark_test<ConnmarkMatch>}}};

Problem read_source_type(Match& match, const Argument& argument) {
  auto& to = std::get<AddrtypeMatch>(match);
  to.source_inverted = argument.inverted;
  return store(read_words(argument.value, kAddressTypes, "address type"),
               [&](uint32_t bits) { to.source_types = static_cast<uint16_t>(bits); });
}

Problem read_destination_type(Match& match, const Argument& argument) {
  auto& to = std::get<AddrtypeMatch>(match);
  to.destination_inverted = argument.inverted;
  return store(read_words(argument.value, kAddressTypes, "address type"),
               [&](uint32_t bits) { to.destination_types = static_cast<uint16_t>(bits); });
}

constexpr std::array<MatchOption, 4> kAddrtypeOptions = {{
    {"src-type", 1, true, 0, read_source_type},
    {"dst-type", 1, true, 1, read_destination_type},
    {"limit-iface-in", 0, false, 2,
     [](Match& match, const Argument&) -> Problem {
       std::get<AddrtypeMatch>(match).limit_iface_in = true;
       return std::nullopt;
     }},
    {"limit-iface-out", 0, false, 2,
     [](Match& match, const Argument&) -> Problem {
       std::get<AddrtypeMatch>(match).limit_iface_out = true;
       return std::nullopt;
     }},
}};

Problem read_dscp(Match& match, const Argument& argument) {
  return store(read_number<uint8_t>(argument.value, "DSCP", 0, 63), [&](uint8_t dscp) {
    match = DscpMatch{dscp, argument.inverted};
  });
}

Problem read_dscp_class(Match& match, const Argument& argument) {
  return store(text::read_dscp_class(argument.value), [&](uint8_t dscp) {
    match = DscpMatch{dscp, argument.inverted};
  });
}

constexpr std::array<MatchOption, 2> kDscpOptions = {{
    {"dscp", 1, true, 0, read_dscp},
    {"dscp-class", 1, true, 0, read_dscp_class},
}};

Problem read_comment(Match& match, const Argument& argument) {
  // iptables cuts what is longer, and so does the kernel's structure.
  std::get<CommentMatch>(match).text = argument.value.value.substr(0, 255);
  return std::nullopt;
}

constexpr std::array<MatchOption, 1> kCommentOptions = {{{"comment", 1, false, 0, read_comment}}};

/// "3/hour", what `-m limit` means without an option.
constexpr uint32_t kDefaultLimit = 12'000'000;

const std::array<Extension<Match>, 14> kMatches = {{
    {"tcp", TcpMatch{}, kTcpOptions},
    {"udp", UdpMatch{}, kUdpOptions},
    {"icmp", IcmpMatch{}, kIcmpOptions, 1, "--icmp-type"},
    {"icmp6", IcmpMatch{}, kIcmp6Options, 1, "--icmpv6-type"},
    {"multiport", MultiportMatch{}, kMultiportOptions, 1, "--sports, --dports or --ports"},
    {"owner", OwnerMatch{}, kOwnerOptions, 7, "--uid-owner, --gid-owner or --socket-exists"},
    {"state", StateMatch{}, kStateOptions, 1, "--state"},
    {"conntrack", ConntrackMatch{}, kConntrackOptions, 0x1FFF, "an option"},
    {"limit", LimitMatch{kDefaultLimit, 5}, kLimitOptions},
    {"mark", MarkMatch{}, kMarkOptions, 1, "--mark"},
    {"connmark", ConnmarkMatch{}, kConnmarkOptions, 1, "--mark"},
    {"addrtype", AddrtypeMatch{}, kAddrtypeOptions, 3, "--src-type or --dst-type"},
    {"dscp", DscpMatch{}, kDscpOptions, 1, "--dscp or --dscp-class"},
    {"comment", CommentMatch{}, kCommentOptions, 1, "--comment"},
}};

}  // namespace

const Extension<Match>* find_match(std::string_view name, Family family) {
  if (family == Family::kIpv6 && (name == "icmpv6" || name == "ipv6-icmp")) name = "icmp6";
  if (name == (family == Family::kIpv4 ? "icmp6" : "icmp")) return nullptr;
  const auto* const at = std::ranges::find(kMatches, name, &Extension<Match>::name);
  return at == kMatches.end() ? nullptr : at;
}

const Extension<Match>* find_match_of_protocol(uint8_t protocol, Family family) {
  switch (protocol) {
    case protocol::kTcp: return find_match("tcp", family);
    case protocol::kUdp: return find_match("udp", family);
    case protocol::kIcmp: return find_match("icmp", family);
    case protocol::kIcmpv6: return find_match("icmp6", family);
    default: return nullptr;
  }
}

}  // namespace tails::ruleset::text
