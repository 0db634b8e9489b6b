#include "tests/kernel/wrong_rules.h"

#include <algorithm>
#include <functional>
#include <variant>

#include "ruleset/text_writer.h"

namespace tails::testbed {
namespace {

using namespace ruleset;

struct Change {
  std::string name;
  std::function<void(Rule&)> apply;
};

void change_target(const Rule& rule, std::vector<Change>& out) {
  const auto becomes = [&out](const char* name, Target target) {
    out.push_back({name, [target = std::move(target)](Rule& changed) { changed.target = target; }});
  };
  if (std::holds_alternative<Accept>(rule.target)) {
    becomes("drops", Drop{});
    becomes("says nothing", Continue{});
  } else if (std::holds_alternative<Reject>(rule.target)) {
    becomes("drops", Drop{});
    becomes("accepts", Accept{});
  } else if (const auto* redirect = std::get_if<Redirect>(&rule.target)) {
    becomes("redirects one port further",
            Redirect{PortRange::one(static_cast<Port>(redirect->ports->first + 1)), false});
    becomes("does not redirect", Accept{});
  } else if (std::holds_alternative<Masquerade>(rule.target)) {
    becomes("drops", Drop{});
  } else {
    becomes("accepts", Accept{});
  }
}

void change_header(const Rule& rule, std::vector<Change>& out) {
  const HeaderTest& header = rule.header;
  if (!header.in.is_any()) {
    out.push_back({"any incoming interface", [](Rule& changed) { changed.header.in = {}; }});
    out.push_back({"incoming interface turned round", [](Rule& changed) { changed.header.in.inverted ^= true; }});
  }
  if (!header.out.is_any()) {
    out.push_back({"any outgoing interface", [](Rule& changed) { changed.header.out = {}; }});
    out.push_back({"outgoing interface turned round", [](Rule& changed) { changed.header.out.inverted ^= true; }});
  }
  if (!header.source.is_any()) {
    out.push_back({"any source", [](Rule& changed) {
                     changed.header.source.mask.low = changed.header.source.mask.high = 0,
                     changed.header.source.address.low = 0;
                   }});
  }
  if (!header.destination.is_any()) {
    out.push_back({"any destination", [](Rule& changed) {
                     changed.header.destination.mask.low = changed.header.destination.mask.high = 0,
                     changed.header.destination.address.low = 0;
                   }});
  }
  if (header.protocol_inverted) {
    out.push_back({"protocol turned round", [](Rule& changed) { changed.header.protocol_inverted = false; }});
  }
}

/// Changes match `index` of a rule, which is a `M`.
template <class M, class F>
void change_match(std::vector<Change>& out, const char* name, size_t index, F change) {
  out.push_back({name, [index, change](Rule& changed) { change(std::get<M>(changed.matches[index])); }});
}

template <class M>
void change_ports(const M& match, size_t index, std::vector<Change>& out) {
  const auto moved = [](PortRange range) {
    return PortRange{static_cast<Port>(range.first + 1), static_cast<Port>(range.last + 1)};
  };
  if (!match.destination.is_any()) {
    change_match<M>(out, "port moved", index, [moved](M& m) { m.destination = moved(m.destination); });
  }
  if (!match.source.is_any()) {
    change_match<M>(out, "source port moved", index, [moved](M& m) { m.source = moved(m.source); });
  }
}

void change_matches(const Rule& rule, bool comes_after_established, std::vector<Change>& out) {
  for (size_t i = 0; i < rule.matches.size(); ++i) {
    const Match& match = rule.matches[i];
    if (const auto* tcp = std::get_if<TcpMatch>(&match)) {
      change_ports(*tcp, i, out);
      if (tcp->flag_mask != 0) {
        change_match<TcpMatch>(out, "flags turned round", i, [](TcpMatch& m) { m.flags_inverted ^= true; });
        change_match<TcpMatch>(out, "any flags", i,
                               [](TcpMatch& m) { m.flag_mask = m.flag_compare = 0, m.flags_inverted = false; });
      }
    } else if (const auto* udp = std::get_if<UdpMatch>(&match)) {
      change_ports(*udp, i, out);
    } else if (std::holds_alternative<MultiportMatch>(match)) {
      change_match<MultiportMatch>(out, "ports turned round", i, [](MultiportMatch& m) { m.inverted ^= true; });
    } else if (std::holds_alternative<OwnerMatch>(match)) {
      change_match<OwnerMatch>(out, "next owner", i, [](OwnerMatch& m) { m.uid->first += 1, m.uid->last += 1; });
      change_match<OwnerMatch>(out, "any owner", i, [](OwnerMatch& m) { m.uid.reset(); });
      change_match<OwnerMatch>(out, "all other owners", i, [](OwnerMatch& m) { m.uid->inverted ^= true; });
    } else if (const auto* state = std::get_if<StateMatch>(&match)) {
      const bool names_reply = std::ranges::any_of(rule.matches, [](const Match& other) {
        const auto* conntrack = std::get_if<ConntrackMatch>(&other);
        return conntrack != nullptr && conntrack->direction == Direction::kReply;
      });
      for (const ConnState one : {ConnState::kNew, ConnState::kEstablished, ConnState::kRelated, ConnState::kInvalid}) {
        if (names_reply && (one == ConnState::kNew || one == ConnState::kInvalid)) continue;  // no packet is both
        if (comes_after_established && one == ConnState::kEstablished) continue;              // no packet gets here
        const char* name = state->states.contains(one) ? "one state less" : "one state more";
        change_match<StateMatch>(out, name, i, [one](StateMatch& m) {
          m.states = StateSet::from_bits(static_cast<uint16_t>(m.states.bits() ^ static_cast<uint16_t>(one)));
        });
      }
    } else if (const auto* conntrack = std::get_if<ConntrackMatch>(&match);
               conntrack != nullptr && conntrack->direction) {
      change_match<ConntrackMatch>(out, "any direction", i, [](ConntrackMatch& m) { m.direction.reset(); });
    }
  }
}

}  // namespace

std::vector<WrongRule> wrong_rules_of(const RuleSet& rules) {
  std::vector<WrongRule> wrong_rules;
  for (size_t t = 0; t < rules.tables.size(); ++t) {
    const Table& table = rules.tables[t];
    for (size_t c = 0; c < table.chains.size(); ++c) {
      for (size_t r = 0; r < table.chains[c].rules.size(); ++r) {
        const Rule& rule = table.chains[c].rules[r];
        std::vector<Change> changes;
        change_target(rule, changes);
        change_header(rule, changes);
        change_matches(rule, table.chains[c].name == "INPUT" && r > 0, changes);
        for (const Change& change : changes) {
          WrongRule wrong{table.family, table.chains[c].name,
                          change.name + ": " + write_rule(table.family, table.chains[c].name, rule), rules};
          change.apply(wrong.rules.tables[t].chains[c].rules[r]);
          wrong_rules.push_back(std::move(wrong));
        }
      }
    }
  }
  return wrong_rules;
}

}  // namespace tails::testbed
