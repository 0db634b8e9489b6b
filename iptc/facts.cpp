#include "iptc/facts.h"

#include <optional>
#include <variant>

#include "iptc/rule_codec.h"

namespace tails::iptc {
namespace {

constexpr auto kEstablished = static_cast<uint16_t>(ConnState::kEstablished);
constexpr uint16_t kNatBits = ruleset::ConntrackMatch::kSnat | ruleset::ConntrackMatch::kDnat;

/// What a test of the connection state says of packets that are ESTABLISHED, and of others.
struct StateVerdict {
  bool admits_established = true;
  bool admits_others = true;
};

StateVerdict of_mask(uint16_t mask, bool inverted) {
  const bool has = (mask & kEstablished) != 0;
  const bool has_others = (mask & ~kEstablished) != 0;
  if (inverted) return {!has, true};
  // The NAT bits are set beside the state, so that they may admit an ESTABLISHED packet as well.
  return {has || (mask & kNatBits) != 0, has_others};
}

StateVerdict state_verdict(const ruleset::Match& match) {
  if (const auto* const state = std::get_if<ruleset::StateMatch>(&match)) {
    return of_mask(state->states.bits(), state->inverted);
  }
  if (const auto* const conntrack = std::get_if<ruleset::ConntrackMatch>(&match); conntrack && conntrack->state_mask) {
    return of_mask(*conntrack->state_mask, conntrack->state_inverted);
  }
  return {};
}

/// Whether a match says the same of a packet each time, in whatever tables are live: nothing counted, unread, or
/// written by another table.
bool is_settled(const ruleset::Match& match) {
  struct Judge {
    bool operator()(const ruleset::TcpMatch& m) const { return m.option == 0; }
    bool operator()(const ruleset::UdpMatch&) const { return true; }
    bool operator()(const ruleset::IcmpMatch&) const { return true; }
    bool operator()(const ruleset::MultiportMatch&) const { return true; }
    bool operator()(const ruleset::OwnerMatch&) const { return true; }
    bool operator()(const ruleset::StateMatch&) const { return true; }
    bool operator()(const ruleset::ConntrackMatch&) const { return true; }
    bool operator()(const ruleset::LimitMatch&) const { return false; }
    bool operator()(const ruleset::MarkMatch&) const { return false; }
    bool operator()(const ruleset::ConnmarkMatch&) const { return false; }
    bool operator()(const ruleset::AddrtypeMatch&) const { return true; }
    bool operator()(const ruleset::DscpMatch&) const { return false; }
    bool operator()(const ruleset::CommentMatch&) const { return true; }
    bool operator()(const ruleset::OpaqueMatch&) const { return false; }
  };
  return std::visit(Judge{}, match);
}

enum class Effect { kAccepts, kGoesOn, kOther };

Effect effect_of(const ruleset::Target& target) {
  struct Judge {
    Effect operator()(const ruleset::Accept&) const { return Effect::kAccepts; }
    Effect operator()(const ruleset::Drop&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Return&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Continue&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::Jump&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Reject&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Log&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::Nflog&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::Redirect&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Masquerade&) const { return Effect::kOther; }
    Effect operator()(const ruleset::Dnat&) const { return Effect::kOther; }
    Effect operator()(const ruleset::SetMark&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::SetConnmark&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::SetDscp&) const { return Effect::kGoesOn; }
    Effect operator()(const ruleset::OpaqueTarget&) const { return Effect::kOther; }
  };
  return std::visit(Judge{}, target);
}

bool may_stop(const ruleset::Target& target) {
  return std::holds_alternative<ruleset::Drop>(target) || std::holds_alternative<ruleset::Reject>(target) ||
         std::holds_alternative<ruleset::OpaqueTarget>(target);
}

bool admits_established(const ruleset::Rule& rule) {
  for (const ruleset::Match& match : rule.matches) {
    if (!state_verdict(match).admits_established) return false;
  }
  return true;
}

bool admits_only_established(const ruleset::Rule& rule) {
  bool only = false;
  for (const ruleset::Match& match : rule.matches) {
    if (std::holds_alternative<ruleset::MarkMatch>(match) || std::holds_alternative<ruleset::ConnmarkMatch>(match) ||
        std::holds_alternative<ruleset::DscpMatch>(match)) {
      return false;
    }
    only = only || !state_verdict(match).admits_others;
  }
  return only;
}

/// What the rule asks of a packet that is ESTABLISHED; nullopt where that is not settled.
std::optional<Conjunction> for_established(ruleset::Rule&& rule) {
  Conjunction result{rule.header, {}};
  for (ruleset::Match& match : rule.matches) {
    if (!is_settled(match)) return std::nullopt;
    if (std::holds_alternative<ruleset::CommentMatch>(match) || std::holds_alternative<ruleset::StateMatch>(match)) {
      continue;
    }
    if (auto* const conntrack = std::get_if<ruleset::ConntrackMatch>(&match); conntrack && conntrack->state_mask) {
      const bool is_said = conntrack->state_inverted
                               ? (*conntrack->state_mask & ~(kEstablished | kNatBits)) == *conntrack->state_mask
                               : (*conntrack->state_mask & kEstablished) != 0;
      if (!is_said) return std::nullopt;
      conntrack->state_mask.reset();
      conntrack->state_inverted = false;
      if (!conntrack->status_mask && !conntrack->direction) continue;
    }
    result.matches.push_back(std::move(match));
  }
  return result;
}

/// Reads one chain rule by rule.
class ChainReader {
 public:
  ChainReader(const kernel::RawChain& chain, TableFacts& facts)
      : facts_(facts), front_(chain.policy ? &facts.front[chain.name] : nullptr) {}

  void add(ruleset::Rule&& rule) {
    const bool stops = may_stop(rule.target);
    const Effect effect = effect_of(rule.target);
    if (stops) facts_.may_stop = true;
    const bool may_accept = effect == Effect::kAccepts || std::holds_alternative<ruleset::OpaqueTarget>(rule.target);
    if (may_accept && !(effect == Effect::kAccepts && admits_only_established(rule))) {
      facts_.accepts_established_only = false;
    }
    if (front_ == nullptr || !admits_established(rule)) return;
    if (effect == Effect::kOther || front_->size() == TableFacts::kMaxFront) {
      front_ = nullptr;
    } else if (effect == Effect::kAccepts) {
      if (auto conjunction = for_established(std::move(rule))) front_->push_back(*std::move(conjunction));
    }
  }

  void end(const kernel::RawChain& chain) {
    if (chain.policy == kernel::Policy::kDrop) facts_.may_stop = true;
    if (chain.policy != kernel::Policy::kAccept) return;
    facts_.accepts_established_only = false;
    if (front_ != nullptr) front_->push_back({});
  }

 private:
  TableFacts& facts_;
  std::vector<Conjunction>* front_;  ///< Null once a rule could do something else.
};

}  // namespace

TableFacts facts_of(const kernel::RawTable& raw) {
  TableFacts facts;
  for (const kernel::RawChain& chain : raw.chains) {
    ChainReader reader(chain, facts);
    for (auto rest = raw.entries(chain); !rest.empty();) {
      const auto entry = kernel::view_entry(rest, raw.family);
      if (!entry) {
        // Cannot be, by what a RawTable is; what cannot be read may do anything.
        facts = {false, false, true, {}};
        return facts;
      }
      reader.add(read_rule(*entry, raw.family).rule);
      rest = rest.subspan(entry->bytes.size());
    }
    reader.end(chain);
  }
  facts.accepts_all = !facts.may_stop;
  return facts;
}

}  // namespace tails::iptc
