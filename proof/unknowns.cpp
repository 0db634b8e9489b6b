#include "proof/unknowns.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>

namespace tails::proof {
namespace {

using namespace ruleset;

bool is_stateless(const Match& match) {
  if (const auto* opaque = std::get_if<OpaqueMatch>(&match)) return opaque->is_stateless;
  return !std::holds_alternative<LimitMatch>(match);
}

/// What a match asks that cannot be read, as text that is equal exactly for equal questions; empty for a match that is
/// read in full.
struct UnreadQuestion {
  std::string operator()(const TcpMatch& m) const {
    return m.option == 0 ? std::string() : "tcp option " + std::to_string(m.option);
  }
  std::string operator()(const OwnerMatch& m) const {
    if (!m.supplementary_groups || !m.gid) return {};
    return "group " + std::to_string(m.gid->first) + "-" + std::to_string(m.gid->last);
  }
  std::string operator()(const AddrtypeMatch& m) const {
    if (!m.limit_iface_in && !m.limit_iface_out) return {};
    std::string text = "addrtype";
    for (const unsigned part : {unsigned{m.source_types}, unsigned{m.destination_types}, unsigned{m.source_inverted},
                                unsigned{m.destination_inverted}, unsigned{m.limit_iface_in}}) {
      text += " " + std::to_string(part);
    }
    return text;
  }
  std::string operator()(const LimitMatch& m) const {
    return "limit " + std::to_string(m.average) + " " + std::to_string(m.burst);
  }
  std::string operator()(const OpaqueMatch& m) const {
    std::string text = "opaque " + m.name.str() + '\0' + std::to_string(m.revision) + '\0' + m.text.str() + '\0';
    for (const std::byte byte : m.data) text += static_cast<char>(byte);
    return text;
  }
  std::string operator()(const UdpMatch&) const { return {}; }
  std::string operator()(const IcmpMatch&) const { return {}; }
  std::string operator()(const MultiportMatch&) const { return {}; }
  std::string operator()(const StateMatch&) const { return {}; }
  std::string operator()(const ConntrackMatch&) const { return {}; }
  std::string operator()(const MarkMatch&) const { return {}; }
  std::string operator()(const ConnmarkMatch&) const { return {}; }
  std::string operator()(const DscpMatch&) const { return {}; }
  std::string operator()(const CommentMatch&) const { return {}; }
};

/// Chains in which a packet meets nothing but logging, or not even that.
std::set<std::string_view> logging_chains(const Table& table) {
  std::set<std::string_view> chains;
  const auto only_counts = [&](const Rule& rule) {
    if (const auto* jump = std::get_if<Jump>(&rule.target)) return !jump->is_goto && chains.contains(jump->chain);
    return std::holds_alternative<Log>(rule.target) || std::holds_alternative<Nflog>(rule.target) ||
           std::holds_alternative<Continue>(rule.target) || std::holds_alternative<Return>(rule.target);
  };
  for (bool grows = true; grows;) {
    grows = false;
    for (const Chain& chain : table.chains) {
      if (chain.is_builtin() || chains.contains(chain.name)) continue;
      if (std::ranges::all_of(chain.rules, only_counts)) grows = chains.insert(chain.name).second;
    }
  }
  return chains;
}

bool only_logs(const Rule& rule, const std::set<std::string_view>& logging) {
  if (const auto* jump = std::get_if<Jump>(&rule.target)) return logging.contains(jump->chain);
  return std::holds_alternative<Log>(rule.target) || std::holds_alternative<Nflog>(rule.target);
}

/// Whether nobody knows what the target does to a packet.
bool has_choice(const Target& target) {
  const auto is_range = [](const std::optional<PortRange>& ports) { return ports && ports->first != ports->last; };
  if (const auto* dnat = std::get_if<Dnat>(&target)) return dnat->first != dnat->last || is_range(dnat->ports);
  if (const auto* redirect = std::get_if<Redirect>(&target)) return is_range(redirect->ports);
  return std::holds_alternative<OpaqueTarget>(target);
}

/// Numbers rules so that rules that say the same have the same number.
class RuleNumbers {
 public:
  size_t of(const Rule& rule) {
    auto& bucket = buckets_[{rule.header.destination.address.low, rule.header.source.address.low, rule.matches.size(),
                             rule.target.index()}];
    for (const auto& [other, number] : bucket) {
      if (other->says_the_same(rule)) return number;
    }
    bucket.emplace_back(&rule, count_);
    return count_++;
  }

 private:
  std::map<std::tuple<uint64_t, uint64_t, size_t, size_t>, std::vector<std::pair<const Rule*, size_t>>> buckets_;
  size_t count_ = 0;
};

}  // namespace

Unknowns::Unknowns(Family family, std::span<const RuleSet* const> sets, int first) : first_(first), next_(first) {
  std::map<std::string, int> stateless;
  /// By the rule's number, its place among equal rules of its set, and the match's place in it (or the target's).
  std::map<std::tuple<size_t, size_t, size_t>, int> remembering;
  RuleNumbers numbers;
  const auto variable = [&](auto& known, const auto& key, int width) {
    const auto [at, is_new] = known.try_emplace(key, next_);
    if (is_new) next_ += width;
    return at->second;
  };
  for (const RuleSet* set : sets) {
    std::map<size_t, size_t> times_seen;
    for (const Table& table : set->tables) {
      if (table.family != family) continue;
      std::optional<std::set<std::string_view>> logging;
      for (const Chain& chain : table.chains) {
        for (const Rule& rule : chain.rules) {
          std::optional<std::pair<size_t, size_t>> place;  // found only where it is needed
          const auto key = [&](size_t part) {
            if (!place) {
              const size_t number = numbers.of(rule);
              place.emplace(number, times_seen[number]++);
            }
            return std::tuple(place->first, place->second, part);
          };
          for (size_t i = 0; i < rule.matches.size(); ++i) {
            const Match& match = rule.matches[i];
            const std::string question = std::visit(UnreadQuestion{}, match);
            if (question.empty()) continue;
            const int index = is_stateless(match) ? variable(stateless, question, 1) : variable(remembering, key(i), 1);
            of_match_.emplace(&match, index);
            if (std::holds_alternative<LimitMatch>(match)) {
              if (!logging) logging = logging_chains(table);
              if (only_logs(rule, *logging)) log_limits_.push_back(index);
            }
          }
          if (has_choice(rule.target)) {
            of_target_.emplace(&rule, variable(remembering, key(rule.matches.size()), kPerTarget));
          }
        }
      }
    }
  }
}

}  // namespace tails::proof
