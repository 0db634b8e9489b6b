#include <array>
#include <iterator>
#include <variant>

#include "ruleset/text_append.h"
#include "ruleset/text_option.h"

namespace tails::ruleset::text {
namespace {

/// Writes a match's options, each with a space before it.
struct MatchWriter {
  std::string& out;  // NOLINT(cppcoreguidelines-avoid-const-or-ref-data-members): lives for one call
  Family family;

  void port_test(std::string_view option, const PortRange& ports, bool inverted) const {
    // The tool leaves out an inverted test of every port, which never matches; the rule would grow by it.
    if (ports.is_any() && !inverted) return;
    append_option(out, inverted, option);
    out += ' ';
    append_ports(out, ports, ':');
  }

  void operator()(const TcpMatch& match) const {
    port_test("--sport", match.source, match.source_inverted);
    port_test("--dport", match.destination, match.destination_inverted);
    if (match.option != 0 || match.option_inverted) {
      append_option(out, match.option_inverted, "--tcp-option ");
      append_number(out, match.option);
    }
    // The tool leaves out a test of no flags for some, which never matches.
    if (match.flag_mask != 0 || match.flag_compare != 0 || match.flags_inverted) {
      append_option(out, match.flags_inverted, "--tcp-flags");
      for (const uint8_t flags : {match.flag_mask, match.flag_compare}) {
        out += ' ';
        if (flags == 0) out += "NONE";
        append_bits(out, flags, kTcpFlags);
      }
    }
  }

  void operator()(const UdpMatch& match) const {
    port_test("--sport", match.source, match.source_inverted);
    port_test("--dport", match.destination, match.destination_inverted);
  }

  void operator()(const IcmpMatch& match) const {
    const bool is_v4 = family == Family::kIpv4;
    if (!match.type && !is_v4) return;
    append_option(out, match.inverted, is_v4 ? "--icmp-type " : "--icmpv6-type ");
    if (!match.type) {
      out += "any";
      return;
    }
    append_number(out, *match.type);
    if (match.code_min == 0 && match.code_max == 255) return;
    out += '/';
    append_number(out, match.code_min);
    // The tool forgets the end of a range, though it reads one.
    if (match.code_max == match.code_min) return;
    out += ':';
    append_number(out, match.code_max);
  }

  void operator()(const MultiportMatch& match) const {
    constexpr std::array<std::string_view, 3> kOptions = {"--sports", "--dports", "--ports"};
    append_option(out, match.inverted, kOptions.at(static_cast<size_t>(match.side)));
    char separator = ' ';
    for (const PortRange& ports : match.ports) {
      out += separator;
      append_ports(out, ports, ':');
      separator = ',';
    }
  }

  void operator()(const OwnerMatch& match) const {
    const auto id_test = [this](std::string_view option, const std::optional<OwnerMatch::Range>& ids) {
      if (!ids) return;
      append_option(out, ids->inverted, option);
      append_number(out, ids->first);
      if (ids->first == ids->last) return;
      out += '-';
      append_number(out, ids->last);
    };
    if (match.socket_exists) append_option(out, !*match.socket_exists, "--socket-exists");
    id_test("--uid-owner ", match.uid);
    id_test("--gid-owner ", match.gid);
    if (match.supplementary_groups) out += " --suppl-groups";
  }

  void operator()(const StateMatch& match) const {
    append_option(out, match.inverted, "--state ");
    append_bits(out, match.states.bits(), kStates);
  }

  void operator()(const ConntrackMatch& match) const {
    if (match.state_mask) {
      append_option(out, match.state_inverted, "--ctstate ");
      append_bits(out, *match.state_mask, kStates);
    }
    if (match.status_mask) {
      append_option(out, match.status_inverted, "--ctstatus ");
      if (*match.status_mask == 0) out += "NONE";
      append_bits(out, *match.status_mask, kStatuses);
    }
    if (match.direction) out += *match.direction == Direction::kOriginal ? " --ctdir ORIGINAL" : " --ctdir REPLY";
  }

  void operator()(const LimitMatch& match) const {
    out += " --limit ";
    append_rate(match.average);
    if (match.burst == LimitMatch{}.burst) return;
    out += " --limit-burst ";
    append_number(out, match.burst);
  }

  /// The shortest unit that still says the rate without losing more than the tool allows (its print_rate).
  void append_rate(uint32_t average) const {
    if (average == 0) {
      out += "inf";
      return;
    }
    const auto* unit = kLimitUnits.begin();
    for (const auto* next = std::next(unit); next != kLimitUnits.end(); unit = next++) {
      if (average > next->value || next->value / average < next->value % average) break;
    }
    append_number(out, unit->value / average);
    out += '/';
    out += unit->name;
  }

  void operator()(const MarkMatch& match) const {
    append_option(out, match.inverted, "--mark");
    append_mark(out, match.value, match.mask);
  }

  void operator()(const ConnmarkMatch& match) const {
    append_option(out, match.inverted, "--mark");
    append_mark(out, match.value, match.mask);
  }

  void operator()(const AddrtypeMatch& match) const {
    if (match.source_types != 0) {
      append_option(out, match.source_inverted, "--src-type ");
      append_bits(out, match.source_types, kAddressTypes);
    }
    if (match.destination_types != 0) {
      append_option(out, match.destination_inverted, "--dst-type ");
      append_bits(out, match.destination_types, kAddressTypes);
    }
    if (match.limit_iface_in) out += " --limit-iface-in";
    if (match.limit_iface_out) out += " --limit-iface-out";
  }

  void operator()(const DscpMatch& match) const {
    append_option(out, match.inverted, "--dscp ");
    append_hex(out, match.dscp, 2);
  }

  void operator()(const CommentMatch& match) const {
    out += " --comment ";
    append_string(out, match.text);
  }

  void operator()(const OpaqueMatch& match) const {
    append_opaque(out, match.text, match.revision, match.data, find_match(match.name, family) != nullptr);
  }
};

}  // namespace

void append_options(std::string& out, Family family, const Match& match) {
  std::visit(MatchWriter{out, family}, match);
}

}  // namespace tails::ruleset::text
