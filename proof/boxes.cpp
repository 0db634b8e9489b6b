#include "proof/boxes.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace tails::proof {
namespace {

using namespace ruleset;

/// Users, destination, source ports, ports: the order in which boxes are made canonical. (Written out: a hundred
/// thousand are sorted, of which most have the first fields in common.)
bool stands_before(const Box& a, const Box& b) {
  if (a.users.first != b.users.first) return a.users.first < b.users.first;
  if (a.users.last != b.users.last) return a.users.last < b.users.last;
  const IpAddress& to_a = a.destination.address();
  const IpAddress& to_b = b.destination.address();
  if (to_a.low != to_b.low || to_a.high != to_b.high || a.destination.length() != b.destination.length()) {
    return a.destination < b.destination;
  }
  if (a.source_ports.first != b.source_ports.first) return a.source_ports.first < b.source_ports.first;
  if (a.source_ports.last != b.source_ports.last) return a.source_ports.last < b.source_ports.last;
  return a.ports.first != b.ports.first ? a.ports.first < b.ports.first : a.ports.last < b.ports.last;
}

/// Joins the intervals that overlap or touch; sorted, and disjoint.
std::vector<Interval> joined(std::vector<Interval> intervals) {
  std::ranges::sort(intervals);
  std::vector<Interval> result;
  for (const Interval& next : intervals) {
    if (!result.empty() && next.first <= result.back().last + 1) {
      result.back().last = std::max(result.back().last, next.last);
    } else {
      result.push_back(next);
    }
  }
  return result;
}

/// One user's boxes at one destination, sorted by source ports: the same set with disjoint source ports.
class SourcePortCanon {
 public:
  /// Source port ranges are few: a policy names them by hand.
  static constexpr size_t kMostCuts = 64;

  /// False where there are too many cuts.
  bool append(std::vector<Box>::const_iterator begin, std::vector<Box>::const_iterator end, std::vector<Box>& result) {
    starts_.clear();
    for (auto box = begin; box != end; ++box) {
      // Sorted by them, so equal ones stand together.
      if (box != begin && box->source_ports == (box - 1)->source_ports) continue;
      starts_.push_back(box->source_ports.first);
      starts_.push_back(box->source_ports.last + 1);
    }
    std::ranges::sort(starts_);
    starts_.erase(std::unique(starts_.begin(), starts_.end()), starts_.end());
    if (starts_.size() > kMostCuts) return false;

    std::vector<std::pair<Interval, std::vector<Interval>>> parts;
    for (size_t i = 0; i + 1 < starts_.size(); ++i) {
      const Interval source{starts_[i], starts_[i + 1] - 1};
      std::vector<Interval> ports;
      for (auto box = begin; box != end; ++box) {
        if (!box->source_ports.meet(source).is_empty()) ports.push_back(box->ports);
      }
      if (ports.empty()) continue;
      ports = joined(std::move(ports));
      const bool continues =
          !parts.empty() && parts.back().first.last + 1 == source.first && parts.back().second == ports;
      if (continues) {
        parts.back().first.last = source.last;
      } else {
        parts.emplace_back(source, std::move(ports));
      }
    }
    for (const auto& [source, intervals] : parts) {
      for (const Interval& ports : intervals) result.push_back({begin->users, begin->destination, source, ports});
    }
    return true;
  }

 private:
  std::vector<uint64_t> starts_;
};

/// One pass down a tree of chains.
class Reader {
 public:
  Reader(const Chains& chains, uint8_t number, bool has_owners)
      : chains_(chains), protocol_(number), has_owners_(has_owners) {
    // Chains that several others call are read once for each call; a tree has none.
    const size_t rules = chains.table().rule_count();
    visits_left_ = 4 * rules + 100;
    boxes_.reserve(rules);
  }

  bool read(size_t chain, const Box& within, int depth) {
    if (depth > kDeepest) return false;
    std::vector<Box> gone;   ///< What a goto took away: it does not come to the rules behind.
    std::vector<Box> parts;  ///< What passes one rule's tests.
    const std::vector<Rule>& rules = chains_[chain].rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      if (visits_left_-- == 0) return false;
      parts.assign(1, within);
      if (!keep_matching(rules[i], parts) || !are_clear_of(parts, gone) || !act(chain, i, parts, depth)) return false;
      const auto* jump = std::get_if<Jump>(&rules[i].target);
      if (jump != nullptr && jump->is_goto) gone.insert(gone.end(), parts.begin(), parts.end());
    }
    return true;
  }

  PlainChain take() && { return {std::move(target_), std::move(boxes_)}; }
  [[nodiscard]] bool has_target() const { return !std::holds_alternative<Continue>(target_); }

 private:
  static constexpr int kDeepest = 64;

  static bool are_clear_of(const std::vector<Box>& parts, const std::vector<Box>& gone) {
    return gone.empty() || std::ranges::none_of(parts, [&](const Box& part) {
             return std::ranges::any_of(gone, [&](const Box& left) { return part.meet(left).has_value(); });
           });
  }

  /// What rule `index` does to the packets in `parts`.
  bool act(size_t chain, size_t index, const std::vector<Box>& parts, int depth) {
    const Target& target = chains_[chain].rules[index].target;
    const auto* jump = std::get_if<Jump>(&target);
    if (jump == nullptr || is_end(chains_.jump(chain, index))) {
      const bool ends = jump != nullptr || std::holds_alternative<Accept>(target) ||
                        std::holds_alternative<Drop>(target) || std::holds_alternative<Reject>(target);
      if (!ends) return false;
      if (!has_target()) target_ = target;
      if (target_ != target) return false;
      boxes_.insert(boxes_.end(), parts.begin(), parts.end());
      return true;
    }
    const size_t callee = chains_.jump(chain, index);
    if (callee == Chains::kNone) return false;
    return std::ranges::all_of(parts, [&](const Box& part) { return read(callee, part, depth + 1); });
  }

  /// Whether no packet comes out of the chain: it logs, and ends with a verdict on whatever is left.
  [[nodiscard]] bool is_end(size_t chain) const {
    if (chain == Chains::kNone || chains_[chain].is_builtin() || chains_[chain].rules.empty()) return false;
    const std::vector<Rule>& rules = chains_[chain].rules;
    const Rule& last = rules.back();
    const bool is_verdict = std::holds_alternative<Drop>(last.target) || std::holds_alternative<Reject>(last.target);
    if (!is_verdict || !last.matches.empty() || last.header != HeaderTest{}) return false;
    return std::all_of(rules.begin(), rules.end() - 1, [](const Rule& rule) {
      return std::holds_alternative<Log>(rule.target) || std::holds_alternative<Nflog>(rule.target);
    });
  }

  /// Leaves in `parts` what passes the rule's tests; false where it tests what a box does not say.
  bool keep_matching(const Rule& rule, std::vector<Box>& parts) const {
    const HeaderTest& header = rule.header;
    const bool is_plain = header.source.is_any() && header.in.is_any() && header.out.is_any() &&
                          header.fragment == HeaderTest::Fragment::kAny && !header.protocol_inverted &&
                          (header.protocol == 0 || header.protocol == protocol_);
    if (!is_plain || header.destination.inverted) return false;
    if (!header.destination.is_any()) {
      const auto length = prefix_length(header.destination.mask);
      const auto network = length ? Prefix::make(header.destination.address, *length) : std::nullopt;
      if (!network || network->address() != header.destination.address) return false;
      Box there = Box::all(chains_.table().family);
      there.destination = *network;
      narrow(parts, there);
    }
    return std::ranges::all_of(rule.matches, [&](const Match& match) { return keep_matching(match, parts); });
  }

  bool keep_matching(const Match& match, std::vector<Box>& parts) const {
    Box box = Box::all(chains_.table().family);
    if (const auto* tcp = std::get_if<TcpMatch>(&match)) {
      const bool tests_more = tcp->source_inverted || tcp->destination_inverted || tcp->flag_mask != 0 ||
                              tcp->flags_inverted || tcp->option != 0;
      if (protocol_ != protocol::kTcp || tests_more) return false;
      narrow(parts, box.with_ports(tcp->source, tcp->destination));
      return true;
    }
    if (const auto* udp = std::get_if<UdpMatch>(&match)) {
      if (protocol_ != protocol::kUdp || udp->source_inverted || udp->destination_inverted) return false;
      narrow(parts, box.with_ports(udp->source, udp->destination));
      return true;
    }
    if (const auto* owner = std::get_if<OwnerMatch>(&match)) {
      if (!has_owners_ || !owner->uid || owner->uid->inverted || owner->gid || owner->socket_exists) return false;
      box.users = {owner->uid->first, owner->uid->last};
      narrow(parts, box);
      return true;
    }
    const auto* multiport = std::get_if<MultiportMatch>(&match);
    if (multiport == nullptr || multiport->inverted || multiport->side == MultiportMatch::Side::kEither) return false;
    std::vector<Box> all;
    for (const PortRange& range : multiport->ports) {
      const bool is_source = multiport->side == MultiportMatch::Side::kSource;
      const Box ports = is_source ? box.with_ports(range, {}) : box.with_ports({}, range);
      for (const Box& part : parts) {
        if (const auto both = part.meet(ports)) all.push_back(*both);
      }
    }
    parts = std::move(all);
    return true;
  }

  static void narrow(std::vector<Box>& parts, const Box& to) {
    size_t kept = 0;
    for (const Box& part : parts) {
      if (const auto both = part.meet(to)) parts[kept++] = *both;
    }
    parts.resize(kept);
  }

  const Chains& chains_;
  uint8_t protocol_;
  bool has_owners_;
  size_t visits_left_;
  Target target_ = Continue{};
  std::vector<Box> boxes_;
};

}  // namespace

Box Box::all(Family family) {
  Box box;
  IpAddress zero;
  zero.family = family;
  box.destination = *Prefix::make(zero, 0);
  return box;
}

Box Box::with_ports(const PortRange& from, const PortRange& to) const {
  Box box = *this;
  box.source_ports = box.source_ports.meet({from.first, std::min<uint64_t>(from.last, kLastPort)});
  box.ports = box.ports.meet({to.first, std::min<uint64_t>(to.last, kLastPort)});
  return box;
}

std::optional<Box> Box::meet(const Box& other) const {
  if (!destination.overlaps(other.destination)) return std::nullopt;
  const bool is_inner = destination.length() >= other.destination.length();
  const Box both{users.meet(other.users), is_inner ? destination : other.destination,
                 source_ports.meet(other.source_ports), ports.meet(other.ports)};
  const bool is_empty = both.users.is_empty() || both.source_ports.is_empty() || both.ports.is_empty();
  return is_empty ? std::nullopt : std::optional(both);
}

std::optional<std::vector<Box>> canonical(std::vector<Box> boxes) {
  if (!std::ranges::is_sorted(boxes, stands_before))
    std::ranges::sort(boxes, stands_before);  // as trees give them they are
  std::vector<Box> result;
  result.reserve(boxes.size());
  SourcePortCanon canon;
  for (auto begin = boxes.cbegin(); begin != boxes.cend();) {
    const auto end = std::find_if(begin, boxes.cend(), [&](const Box& box) {
      return box.users != begin->users || box.destination != begin->destination;
    });
    if (!canon.append(begin, end, result)) return std::nullopt;
    begin = end;
  }
  return result;
}

std::optional<PlainChain> read_plain_chain(const Chains& chains, size_t start, uint8_t number, bool has_owners) {
  Reader reader(chains, number, has_owners);
  const bool is_plain = reader.read(start, Box::all(chains.table().family), 0);
  if (!is_plain || !reader.has_target()) return std::nullopt;
  return std::move(reader).take();
}

}  // namespace tails::proof
