#include "tests/proof/mutants.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

#include "ruleset/text_writer.h"

namespace tails::proof::testing {
namespace {

using namespace ruleset;

/// A way to spoil one rule; false: this rule has nothing to spoil in that way.
struct Mistake {
  const char* name;
  std::function<bool(Rule&)> make;
};

/// The rule's first match of a kind.
template <class M>
M* first(Rule& rule) {
  for (Match& match : rule.matches) {
    if (auto* found = std::get_if<M>(&match)) return found;
  }
  return nullptr;
}

template <class M>
bool drop_match(Rule& rule) {
  return std::erase_if(rule.matches, [](const Match& m) { return std::holds_alternative<M>(m); }) > 0;
}

bool drop_address(AddressTest& test) {
  if (test.is_any()) return false;
  test.address.high = test.address.low = test.mask.high = test.mask.low = 0;
  test.inverted = false;
  return true;
}

/// One bit less in the mask: the neighbour network as well.
bool widen_prefix(AddressTest& test) {
  const auto length = prefix_length(test.mask);
  if (!length || *length == 0) return false;
  test.mask = mask_of(test.mask.family, *length - 1);
  test.address = test.address & test.mask;
  return true;
}

bool drop_interface(InterfaceTest& test) {
  if (test.is_any()) return false;
  test = {};
  return true;
}

bool turn_interface(InterfaceTest& test) {
  if (test.is_any()) return false;
  test.inverted = !test.inverted;
  return true;
}

bool drop_ports(Rule& rule) {
  if (auto* tcp = first<TcpMatch>(rule); tcp != nullptr && !tcp->destination.is_any()) {
    tcp->destination = {};
    return true;
  }
  if (auto* udp = first<UdpMatch>(rule); udp != nullptr && !udp->destination.is_any()) {
    udp->destination = {};
    return true;
  }
  return drop_match<MultiportMatch>(rule);
}

bool drop_protocol(Rule& rule) {
  if (rule.header.protocol == 0 || std::holds_alternative<Redirect>(rule.target)) return false;
  std::erase_if(rule.matches, [](const Match& m) {
    return std::holds_alternative<TcpMatch>(m) || std::holds_alternative<UdpMatch>(m) ||
           std::holds_alternative<IcmpMatch>(m) || std::holds_alternative<MultiportMatch>(m);
  });
  rule.header.protocol = 0;
  rule.header.protocol_inverted = false;
  return true;
}

std::function<bool(Rule&)> add_state(ConnState state) {
  return [state](Rule& rule) {
    auto* match = first<StateMatch>(rule);
    if (match == nullptr || match->states.contains(state)) return false;
    match->states = match->states | state;
    return true;
  };
}

bool drop_flags(Rule& rule) {
  auto* tcp = first<TcpMatch>(rule);
  if (tcp == nullptr || tcp->flag_mask == 0) return false;
  tcp->flag_mask = tcp->flag_compare = 0;
  tcp->flags_inverted = false;
  return true;
}

bool turn_owner(Rule& rule) {
  auto* owner = first<OwnerMatch>(rule);
  if (owner == nullptr) return false;
  owner->uid->inverted = !owner->uid->inverted;
  return true;
}

bool next_owner(Rule& rule) {
  auto* owner = first<OwnerMatch>(rule);
  if (owner == nullptr) return false;
  owner->uid->last += 1;
  return true;
}

bool accept_instead(Rule& rule) {
  const auto* jump = std::get_if<Jump>(&rule.target);
  const bool refuses = std::holds_alternative<Reject>(rule.target) || std::holds_alternative<Drop>(rule.target);
  if (jump == nullptr && !refuses) return false;
  rule.target = Accept{};
  return true;
}

bool return_instead(Rule& rule) {
  const bool refuses = std::holds_alternative<Reject>(rule.target) || std::holds_alternative<Drop>(rule.target) ||
                       std::holds_alternative<Jump>(rule.target);
  if (!refuses) return false;
  rule.target = Return{};
  return true;
}

bool redirect_elsewhere(Rule& rule) {
  auto* redirect = std::get_if<Redirect>(&rule.target);
  if (redirect == nullptr) return false;
  redirect->ports = PortRange::one(9050);
  return true;
}

const std::vector<Mistake>& mistakes() {
  static const std::vector<Mistake> kList = {
      {"any destination", [](Rule& rule) { return drop_address(rule.header.destination); }},
      {"any source", [](Rule& rule) { return drop_address(rule.header.source); }},
      {"destination one bit wider", [](Rule& rule) { return widen_prefix(rule.header.destination); }},
      {"any port", drop_ports},
      {"any protocol", drop_protocol},
      {"NEW added", add_state(ConnState::kNew)},
      {"ESTABLISHED added", add_state(ConnState::kEstablished)},
      {"RELATED added", add_state(ConnState::kRelated)},
      {"INVALID added", add_state(ConnState::kInvalid)},
      {"state test lost", drop_match<StateMatch>},
      {"incoming interface lost", [](Rule& rule) { return drop_interface(rule.header.in); }},
      {"outgoing interface lost", [](Rule& rule) { return drop_interface(rule.header.out); }},
      {"incoming interface turned round", [](Rule& rule) { return turn_interface(rule.header.in); }},
      {"outgoing interface turned round", [](Rule& rule) { return turn_interface(rule.header.out); }},
      {"flags lost", drop_flags},
      {"owner test lost", drop_match<OwnerMatch>},
      {"owner turned round", turn_owner},
      {"next owner too", next_owner},
      {"direction lost", drop_match<ConntrackMatch>},
      {"accepts", accept_instead},
      {"returns", return_instead},
      {"redirects elsewhere", redirect_elsewhere},
  };
  return kList;
}

}  // namespace

std::vector<Mutant> mutants_of(const RuleSet& rules) {
  std::vector<Mutant> mutants;
  for (size_t t = 0; t < rules.tables.size(); ++t) {
    const Table& table = rules.tables[t];
    for (size_t c = 0; c < table.chains.size(); ++c) {
      const Chain& chain = table.chains[c];
      const auto copy = [&](std::string change) -> Chain& {
        mutants.push_back({std::move(change), rules});
        return mutants.back().rules.tables[t].chains[c];
      };
      if (chain.policy == ChainPolicy::kDrop) copy("open at the end: " + chain.name).policy = ChainPolicy::kAccept;
      for (size_t r = 0; r < chain.rules.size(); ++r) {
        const std::string text = write_rule(table.family, chain.name, chain.rules[r]);
        const auto at = [&](Chain& changed, size_t index) {
          return changed.rules.begin() + static_cast<std::ptrdiff_t>(index);
        };
        Chain& dropped = copy("dropped: " + text);
        dropped.rules.erase(at(dropped, r));
        if (r > 0) {
          Chain& swapped = copy("one place up: " + text);
          std::swap(swapped.rules[r - 1], swapped.rules[r]);
          Chain& raised = copy("put first: " + text);
          std::rotate(at(raised, 0), at(raised, r), at(raised, r + 1));
        }
        for (const Mistake& mistake : mistakes()) {
          Rule changed = chain.rules[r];
          if (!mistake.make(changed)) continue;
          copy(std::string(mistake.name) + ": " + text).rules[r] = std::move(changed);
        }
      }
    }
  }
  return mutants;
}

}  // namespace tails::proof::testing
