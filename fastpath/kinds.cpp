#include "fastpath/kinds.h"

#include <algorithm>
#include <map>
#include <set>
#include <variant>

namespace tails::fastpath {
namespace {

using ruleset::IcmpMatch;
using ruleset::TcpMatch;

/// What the rules look at, each test once.
struct Looks {
  std::set<uint8_t> protocols;
  std::set<std::pair<uint8_t, uint8_t>> flags;  ///< mask, compare
  struct Icmp {
    uint8_t type;
    uint8_t code_min;
    uint8_t code_max;
    auto operator<=>(const Icmp&) const = default;
  };
  std::set<Icmp> icmp;
};

Looks looks_of(const ruleset::Table& filter) {
  // These have ports, so a multiport or port match tells them from all others.
  Looks looks{
      {protocol::kTcp, protocol::kUdp, protocol::kIcmp, protocol::kUdplite, protocol::kSctp, protocol::kDccp}, {}, {}};
  for (const ruleset::Chain& chain : filter.chains) {
    for (const ruleset::Rule& rule : chain.rules) {
      if (rule.header.protocol != 0) looks.protocols.insert(rule.header.protocol);
      for (const ruleset::Match& match : rule.matches) {
        if (const auto* tcp = std::get_if<TcpMatch>(&match);
            tcp != nullptr && (tcp->flag_mask | tcp->flag_compare) != 0) {
          looks.flags.emplace(tcp->flag_mask, tcp->flag_compare);
        }
        if (const auto* icmp = std::get_if<IcmpMatch>(&match); icmp != nullptr && icmp->type) {
          looks.icmp.insert({*icmp->type, icmp->code_min, icmp->code_max});
        }
      }
    }
  }
  return looks;
}

}  // namespace

Result<Kinds> Kinds::of(const ruleset::Table& filter) {
  const Looks looks = looks_of(filter);
  Kinds kinds;
  std::map<std::vector<bool>, uint8_t> known;
  bool too_many = false;
  const auto number = [&](std::vector<bool> looks_like, const Example& example) {
    const auto [at, is_new] = known.try_emplace(std::move(looks_like), static_cast<uint8_t>(kinds.examples_.size()));
    if (is_new && kinds.examples_.size() == kMax) {
      known.erase(at);
      too_many = true;
      return uint8_t{0};
    }
    if (is_new) kinds.examples_.push_back(example);
    return at->second;
  };
  const auto protocol_look = [&](unsigned protocol) {
    std::vector<bool> look;
    for (const uint8_t named : looks.protocols) look.push_back(named == protocol);
    return look;
  };

  for (unsigned protocol = 0; protocol < 256; ++protocol) {
    if (protocol == protocol::kTcp) continue;
    kinds.other_[protocol] = number(protocol_look(protocol), {static_cast<uint8_t>(protocol), 0, 0, 0});
  }
  for (unsigned flags = 0; flags < 256; ++flags) {
    std::vector<bool> look = protocol_look(protocol::kTcp);
    for (const auto& [mask, compare] : looks.flags) look.push_back((flags & mask) == compare);
    kinds.tcp_[flags] = number(std::move(look), {protocol::kTcp, static_cast<uint8_t>(flags), 0, 0});
  }
  if (!looks.icmp.empty()) {
    kinds.icmp_.resize(65536);
    for (unsigned i = 0; i < 65536; ++i) {
      const auto type = static_cast<uint8_t>(i >> 8);
      const auto code = static_cast<uint8_t>(i & 0xFF);
      std::vector<bool> look = protocol_look(protocol::kIcmp);
      for (const Looks::Icmp& test : looks.icmp) {
        look.push_back(test.type == type && test.code_min <= code && code <= test.code_max);
      }
      kinds.icmp_[i] = number(std::move(look), {protocol::kIcmp, 0, type, code});
    }
  }
  if (too_many) {
    return fail(ErrorKind::kRejected,
                "the rules tell apart more than 64 kinds of packet by protocol, TCP flags and ICMP type",
                "The wire filter cannot enforce them.");
  }
  return kinds;
}

}  // namespace tails::fastpath
