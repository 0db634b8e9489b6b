#include "cli/rule_words.h"

#include <array>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tails::cli {
namespace {

using namespace ruleset;  // NOLINT(google-build-using-namespace): every alternative of Match is named below

std::string inverted_if(bool inverted, std::string words) { return inverted ? "not " + std::move(words) : words; }

std::string ports_in_words(const PortRange& ports) {
  if (ports.first == ports.last) return fmt::format("{}", ports.first);
  return fmt::format("{}-{}", ports.first, ports.last);
}

std::string address_in_words(std::string_view direction, const AddressTest& test) {
  const std::optional<unsigned> length = prefix_length(test.mask);
  const std::string words = !length ? fmt::format("{}/{}", to_string(test.address), to_string(test.mask))
                            : *length == address_bits(test.address.family)
                                ? to_string(test.address)
                                : fmt::format("{}/{}", to_string(test.address), *length);
  return inverted_if(test.inverted, fmt::format("{} {}", direction, words));
}

std::string interface_in_words(std::string_view direction, const InterfaceTest& test) {
  return inverted_if(test.inverted, fmt::format("{} {}{}", direction, test.view(), test.is_prefix ? "+" : ""));
}

std::string protocol_in_words(uint8_t number) {
  switch (number) {
    case protocol::kIcmp: return "icmp";
    case protocol::kTcp: return "tcp";
    case protocol::kUdp: return "udp";
    case protocol::kIcmpv6: return "icmpv6";
    default: return fmt::format("protocol {}", number);
  }
}

std::string states_in_words(uint16_t bits) {
  struct Bit {
    uint16_t bit;
    std::string_view name;
  };
  constexpr std::array kBits{Bit{8, "NEW"},         Bit{2, "ESTABLISHED"}, Bit{4, "RELATED"}, Bit{1, "INVALID"},
                             Bit{256, "UNTRACKED"}, Bit{64, "SNAT"},       Bit{128, "DNAT"}};
  std::vector<std::string_view> names;
  for (const Bit& bit : kBits) {
    if ((bits & bit.bit) != 0) names.push_back(bit.name);
  }
  return names.empty() ? "no state" : fmt::format("{}", fmt::join(names, " or "));
}

/// Appends what one match tests to the parts of a sentence.
class MatchWords {
 public:
  MatchWords(std::vector<std::string>& parts, const UserNames& user_names) : parts_(parts), user_names_(user_names) {}

  void operator()(const TcpMatch& match) const {
    ports(match.source, match.source_inverted, match.destination, match.destination_inverted);
    if (match.flag_mask != 0) {
      const bool is_syn = match.flag_mask == tcp_flag::kSynMask && match.flag_compare == tcp_flag::kSyn;
      parts_.push_back(
          inverted_if(match.flags_inverted,
                      is_syn ? "SYN" : fmt::format("flags {:#04x} of {:#04x}", match.flag_compare, match.flag_mask)));
    }
    if (match.option != 0)
      parts_.push_back(inverted_if(match.option_inverted, fmt::format("TCP option {}", match.option)));
  }
  void operator()(const UdpMatch& match) const {
    ports(match.source, match.source_inverted, match.destination, match.destination_inverted);
  }
  void operator()(const IcmpMatch& match) const {
    std::string words = match.type ? fmt::format("type {}", *match.type) : "any type";
    if (match.type && !(match.code_min == 0 && match.code_max == 255)) {
      words += match.code_min == match.code_max ? fmt::format("/{}", match.code_min)
                                                : fmt::format("/{}-{}", match.code_min, match.code_max);
    }
    parts_.push_back(inverted_if(match.inverted, words));
  }
  void operator()(const MultiportMatch& match) const {
    std::vector<std::string> list;
    for (const PortRange& range : match.ports) list.push_back(ports_in_words(range));
    const std::string_view side = match.side == MultiportMatch::Side::kSource        ? "from ports"
                                  : match.side == MultiportMatch::Side::kDestination ? "ports"
                                                                                     : "either port";
    parts_.push_back(inverted_if(match.inverted, fmt::format("{} {}", side, fmt::join(list, ","))));
  }
  void operator()(const OwnerMatch& match) const {
    if (match.uid) parts_.push_back(inverted_if(match.uid->inverted, user(*match.uid)));
    if (match.gid) {
      parts_.push_back(
          inverted_if(match.gid->inverted, match.gid->first == match.gid->last
                                               ? fmt::format("group {}", match.gid->first)
                                               : fmt::format("groups {}-{}", match.gid->first, match.gid->last)));
      if (match.supplementary_groups) parts_.back() += " (or a supplementary group)";
    }
    if (match.socket_exists) parts_.emplace_back(*match.socket_exists ? "has a socket" : "has no socket");
  }
  void operator()(const StateMatch& match) const {
    parts_.push_back(inverted_if(match.inverted, states_in_words(match.states.bits())));
  }
  void operator()(const ConntrackMatch& match) const {
    if (match.state_mask) parts_.push_back(inverted_if(match.state_inverted, states_in_words(*match.state_mask)));
    if (match.status_mask) {
      parts_.push_back(inverted_if(match.status_inverted, fmt::format("flow status {:#x}", *match.status_mask)));
    }
    if (match.direction) {
      parts_.emplace_back(*match.direction == Direction::kOriginal ? "original direction" : "reply direction");
    }
  }
  void operator()(const LimitMatch& match) const {
    constexpr double kScale = 10000;  // LimitMatch::average is in 1/10000 s
    parts_.push_back(match.average == 0
                         ? "no limit"
                         : fmt::format("at most {:.4g}/s, burst {}", kScale / match.average, match.burst));
  }
  void operator()(const MarkMatch& match) const { mark("mark", match.value, match.mask, match.inverted); }
  void operator()(const ConnmarkMatch& match) const { mark("flow mark", match.value, match.mask, match.inverted); }
  void operator()(const AddrtypeMatch& match) const {
    if (match.source_types != 0) {
      parts_.push_back(inverted_if(match.source_inverted, fmt::format("source of kind {:#x}", match.source_types)));
    }
    if (match.destination_types != 0) {
      parts_.push_back(
          inverted_if(match.destination_inverted, fmt::format("destination of kind {:#x}", match.destination_types)));
    }
    if (match.limit_iface_in) parts_.emplace_back("seen from the incoming interface");
    if (match.limit_iface_out) parts_.emplace_back("seen from the outgoing interface");
  }
  void operator()(const DscpMatch& match) const {
    parts_.push_back(inverted_if(match.inverted, fmt::format("DSCP {}", match.dscp)));
  }
  void operator()(const CommentMatch& match) const { parts_.push_back(fmt::format("\"{}\"", match.text)); }
  void operator()(const OpaqueMatch& match) const {
    parts_.push_back(fmt::format("something unknown (match \"{}\")", match.name));
  }

 private:
  void ports(const PortRange& source, bool source_inverted, const PortRange& destination,
             bool destination_inverted) const {
    if (!source.is_any() || source_inverted) {
      parts_.push_back(inverted_if(source_inverted, "from port " + ports_in_words(source)));
    }
    if (!destination.is_any() || destination_inverted) {
      parts_.push_back(inverted_if(destination_inverted, "port " + ports_in_words(destination)));
    }
  }
  void mark(std::string_view what, uint32_t value, uint32_t mask, bool inverted) const {
    constexpr uint32_t kWhole = 0xFFFFFFFF;
    parts_.push_back(inverted_if(inverted, mask == kWhole ? fmt::format("{} {:#x}", what, value)
                                                          : fmt::format("{} {:#x}/{:#x}", what, value, mask)));
  }
  [[nodiscard]] std::string user(const OwnerMatch::Range& range) const {
    if (range.first != range.last) return fmt::format("users {}-{}", range.first, range.last);
    const std::optional<std::string> name = user_names_(Uid{range.first});
    return name ? fmt::format("user {}", *name) : fmt::format("user {}", range.first);
  }

  std::vector<std::string>& parts_;
  const UserNames& user_names_;
};

class TargetWords {
 public:
  std::string operator()(const Accept&) const { return "ACCEPT"; }
  std::string operator()(const Drop&) const { return "DROP"; }
  std::string operator()(const Return&) const { return "RETURN"; }
  std::string operator()(const Continue&) const { return "count"; }
  std::string operator()(const Jump& target) const { return (target.is_goto ? "goto " : "to ") + target.chain; }
  std::string operator()(const Reject&) const { return "REJECT"; }
  std::string operator()(const Log&) const { return "LOG"; }
  std::string operator()(const Nflog& target) const { return fmt::format("NFLOG {}", target.group); }
  std::string operator()(const Redirect& target) const {
    return target.ports ? "REDIRECT to port " + ports_in_words(*target.ports) : "REDIRECT";
  }
  std::string operator()(const Masquerade&) const { return "MASQUERADE"; }
  std::string operator()(const Dnat& target) const {
    std::string words = "DNAT to";
    if (target.first) words += " " + to_string(*target.first);
    if (target.first && target.last != target.first) words += "-" + to_string(*target.last);
    if (target.ports) words += " port " + ports_in_words(*target.ports);
    return words;
  }
  std::string operator()(const SetMark& target) const {
    return fmt::format("MARK {:#x}/{:#x}", target.value, target.mask);
  }
  std::string operator()(const SetConnmark& target) const {
    switch (target.mode) {
      case SetConnmark::Mode::kSet: return fmt::format("CONNMARK {:#x}/{:#x}", target.value, target.ctmask);
      case SetConnmark::Mode::kSave: return "CONNMARK save";
      case SetConnmark::Mode::kRestore: return "CONNMARK restore";
    }
    return "CONNMARK";
  }
  std::string operator()(const SetDscp& target) const { return fmt::format("DSCP {}", target.dscp); }
  std::string operator()(const OpaqueTarget& target) const { return fmt::format("{} (unknown)", target.name); }
};

}  // namespace

std::string target_in_words(const Target& target) { return std::visit(TargetWords(), target); }

std::string tests_in_words(const Rule& rule, const UserNames& user_names) {
  std::vector<std::string> parts;
  const HeaderTest& header = rule.header;
  if (!header.in.is_any()) parts.push_back(interface_in_words("in", header.in));
  if (!header.out.is_any()) parts.push_back(interface_in_words("out", header.out));
  if (header.protocol != 0) parts.push_back(inverted_if(header.protocol_inverted, protocol_in_words(header.protocol)));
  if (!header.source.is_any()) parts.push_back(address_in_words("from", header.source));
  if (!header.destination.is_any()) parts.push_back(address_in_words("to", header.destination));
  if (header.fragment != HeaderTest::Fragment::kAny) {
    parts.emplace_back(header.fragment == HeaderTest::Fragment::kLater ? "later fragment" : "no later fragment");
  }
  for (const Match& match : rule.matches) std::visit(MatchWords(parts, user_names), match);
  return parts.empty() ? "everything" : fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace tails::cli
