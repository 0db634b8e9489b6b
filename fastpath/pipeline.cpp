#include "fastpath/pipeline.h"

#include <array>
#include <bit>
#include <cstring>

#include "net/wire.h"

namespace tails::fastpath {
namespace {

using flow_model::Event;

using Steps = std::array<uint16_t, step_bits::kCount>;

/// flow_model::step for every phase, opener and event, packed, for packets of one side.
Steps make_steps(Side from) {
  Steps steps{};
  for (unsigned i = 0; i < step_bits::kCount; ++i) {
    const unsigned phase = i >> FlowEntry::kPhaseShift & 0xF;
    const unsigned event = i & 0xF;
    const bool is_reply = (i >> FlowEntry::kOpenerShift & 1) != static_cast<unsigned>(from);
    const Direction direction = is_reply ? Direction::kReply : Direction::kOriginal;
    // Numbers that nothing has are INVALID.
    flow_model::Step step;
    step.next = static_cast<Phase>(phase);
    if (phase < flow_model::kPhaseCount && event < flow_model::kEventCount) {
      step = flow_model::step(static_cast<Phase>(phase), direction, static_cast<Event>(event));
    }
    const bool needs_care = phase == 0 || step.opens || static_cast<unsigned>(step.next) != phase;
    steps[i] = static_cast<uint16_t>(static_cast<unsigned>(state_index(step.state, direction)) |
                                     static_cast<unsigned>(step.next) << step_bits::kPhaseShift |
                                     (step.refreshes ? step_bits::kRefreshes : 0U) |
                                     (step.opens ? step_bits::kOpens : 0U) | (needs_care ? step_bits::kCare : 0U));
  }
  return steps;
}
const std::array<Steps, 2> kSteps = {make_steps(Side::kInside), make_steps(Side::kOutside)};

constexpr Phase next_phase(uint16_t step) { return static_cast<Phase>(step >> step_bits::kPhaseShift & 0xF); }
constexpr bool is_invalid(uint16_t step) {
  return (step & step_bits::kState) == static_cast<unsigned>(StateIndex::kInvalid);
}

bool has_loopback_address(const FlowKey& key) { return key.inside() >> 24 == 127 || key.outside() >> 24 == 127; }

/// What is asked for one packet of a side.
template <Side kFrom>
void ask(Questions& questions, const FlowKey& key, uint16_t head) {
  const unsigned q = questions.count++;
  const bool out = kFrom == Side::kInside;
  questions.destination[q] = out ? key.outside() : key.inside();
  questions.source[q] = out ? key.inside() : key.outside();
  questions.port[q] = out ? key.outside_port() : key.inside_port();
  questions.source_port[q] = out ? key.inside_port() : key.outside_port();
  questions.column[q] = head & (Heads::kColumn - 1);
}

constexpr uint8_t kAcceptKind = static_cast<uint8_t>(Verdict::kAccept);

/// Takes the six DiffServ bits out of an IPv4 header and out of its checksum (RFC 1624).
void strip_dscp(std::byte* ip) {
  const auto big16 = [](const std::byte* at) {
    return std::to_integer<uint32_t>(at[0]) << 8 | std::to_integer<uint32_t>(at[1]);
  };
  const uint32_t sum = big16(ip + 10) + (std::to_integer<uint32_t>(ip[1]) & 0xFC);
  const uint32_t checksum = (sum & 0xFFFF) + (sum >> 16);
  ip[1] &= std::byte{3};
  ip[10] = static_cast<std::byte>(checksum >> 8 & 0xFF);
  ip[11] = static_cast<std::byte>(checksum & 0xFF);
}

}  // namespace

/// What the stages hand on, by the frame's place in the burst.
struct Pipeline::Scratch {
  FlowKey key[kBurst];
  uint64_t hash[kBurst];
  FlowEntry* entry[kBurst];     ///< `none` where there is no flow.
  uint32_t seen_state[kBurst];  ///< The entry's, as the first look found it.
  Trait trait[kBurst];
  uint16_t step[kBurst];
  uint16_t head[kBurst];
  uint8_t owner[kBurst];  ///< The frame's tag.
  uint8_t care[kBurst];   ///< LookUpJob's.
  uint8_t live[kBurst];   ///< Places of the packets that parsing left undecided.
  FlowEntry none;         ///< Stands for "no flow": a flow of this side, now, in no phase.
  unsigned inserted = 0;
};

Pipeline::Pipeline(std::shared_ptr<const FilterRules> rules, FlowTable flows, const Kernels& kernels)
    : rules_(std::move(rules)),
      flows_(std::move(flows)),
      kernels_(&kernels),
      verdicts_(rules_->wire().verdicts.size()) {}

bool Pipeline::set_rules(std::shared_ptr<const FilterRules> rules) {
  if (!flows_.may_start_generation()) return false;
  rules_ = std::move(rules);
  flows_.next_generation();
  verdicts_.assign(rules_->wire().verdicts.size(), Count{});
  return true;
}

void Pipeline::sweep(size_t buckets) {
  flows_.sweep(buckets, [&](const FlowEntry& flow) { return rules_->would_open(flow); });
}

void Pipeline::process(Side from, Burst& burst) {
  if (from == Side::kInside) {
    process_from<Side::kInside>(burst);
  } else {
    process_from<Side::kOutside>(burst);
  }
}

template <Side kFrom>
void Pipeline::process_from(Burst& burst) {
  Scratch s;
  burst.passed_count = burst.dropped_count = 0;
  const unsigned live = parse<kFrom>(burst, s);
  look_up<kFrom>(s, live);
  commit<kFrom>(burst, s, live);
  sweep(1 + burst.count / 32);
}

/// Fills in key, hash, owner and trait of each frame, or its outcome. Returns how many are undecided.
///
/// The common frame is looked at by the kernel. Whatever differs in anything goes to the slow parser, which knows all
/// the ways in which frames can be wrong.
template <Side kFrom>
unsigned Pipeline::parse(Burst& burst, Scratch& s) {
  const WireView& view = rules_->wire().view;
  const bool uses_dscp = view.owner_source == OwnerSource::kDscp;
  const ParseJob job{kFrom,
                     burst.data,
                     burst.length,
                     burst.known_good,
                     burst.count,
                     rules_->direction(kFrom).traits.data(),
                     rules_->direction(kFrom).owner_offset.data(),
                     rules_->wire().known_tags,
                     uses_dscp && kFrom == Side::kInside ? uint32_t{0x3F} : uint32_t{0},
                     uses_dscp,
                     &flows_.search(),
                     s.key,
                     s.hash,
                     s.owner,
                     s.trait};
  const uint64_t uncommon = kernels_->parse(job);
  unsigned live = 0;
  for (unsigned i = 0; i < burst.count; ++i) {
    burst.trim[i] = 0;
    s.live[live] = static_cast<uint8_t>(i);
    if ((uncommon >> i & 1) != 0) [[unlikely]] {
      live += parse_slowly<kFrom>(burst, s, i) ? 1U : 0U;
    } else {
      ++live;
    }
  }
  return live;
}

/// As `Judge` reads frames. True when the packet is undecided.
template <Side kFrom>
bool Pipeline::parse_slowly(Burst& burst, Scratch& s, unsigned i) {
  const WireView& view = rules_->wire().view;
  std::byte* const frame = burst.data[i];
  const wire::Bytes bytes(frame, burst.length[i]);
  const auto decide = [&](Outcome outcome) {
    decide_unjudged(burst, i, outcome);
    return false;
  };

  const auto ethernet = wire::read_ethernet(bytes);
  if (!ethernet) return decide(Outcome::kShortFrame);
  uint8_t tag = 0;
  if (ethernet->vlan) {
    if (view.owner_source != OwnerSource::kVlan || kFrom == Side::kOutside) return decide(Outcome::kVlan);
    if (*ethernet->vlan >= OwnerTag::kCount) return decide(Outcome::kUnknownTag);
    tag = static_cast<uint8_t>(*ethernet->vlan);
    std::memmove(frame + 4, frame, 12);
    burst.trim[i] = 4;
  }
  const wire::Bytes packet = bytes.subspan(ethernet->header_bytes);
  switch (ethernet->type) {
    case wire::kTypeIpv4: break;
    case wire::kTypeArp:
      return decide(view.pass_arp && wire::is_plausible_arp(*ethernet, packet) ? Outcome::kArp : Outcome::kBadArp);
    case wire::kTypeIpv6: return decide(Outcome::kIpv6);
    case wire::kTypeVlan: return decide(Outcome::kVlan);
    default: return decide(Outcome::kNotIp);
  }

  const wire::Ipv4 ip = wire::read_ipv4(packet, {(burst.known_good[i] & Burst::kIpChecksumGood) == 0,
                                                 (burst.known_good[i] & Burst::kTransportChecksumGood) == 0, 0});
  if (ip.fault != wire::Fault::kNone) return decide(outcome_of(ip.fault));
  if (view.owner_source == OwnerSource::kDscp) {
    if (kFrom == Side::kInside) tag = ip.dscp();
    strip_dscp(frame + ethernet->header_bytes);
  }
  if (view.pass_dhcp && is_dhcp(kFrom, ip)) return decide(Outcome::kDhcp);
  if (!rules_->knows(tag)) return decide(Outcome::kUnknownTag);
  s.key[i] = flow_key(kFrom, ip.tuple());
  s.hash[i] = flows_.hash(s.key[i]);
  flows_.prefetch(s.hash[i]);
  s.owner[i] = tag;
  s.trait[i] = rules_->trait(kFrom, ip.protocol, ip.tcp_flags, ip.icmp_type, ip.icmp_code) +
               make_trait(0, rules_->direction(kFrom).owner_offset[tag]);
  return true;
}

/// The entry of each packet's flow, and its head by what the entry says; then the verdicts that the heads leave open.
template <Side kFrom>
void Pipeline::look_up(Scratch& s, unsigned live) {
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  s.none = {0, 0,
            static_cast<uint32_t>(kFrom) << FlowEntry::kOpenerShift | uint32_t{flows_.search().now_ticks[0]}
                                                                          << FlowEntry::kTickShift};
  flows_.set_current(s.none);

  uint8_t asked[kBurst];
  LookUpJob job{kFrom,
                &flows_.search(),
                &s.none,
                s.live,
                live,
                s.key,
                s.hash,
                s.owner,
                s.trait,
                kSteps[static_cast<size_t>(kFrom)].data(),
                direction.heads.data(),
                rules_->answered_offset().data(),
                s.entry,
                s.seen_state,
                s.step,
                s.head,
                s.care,
                asked,
                0};
  kernels_->look_up(job);
  if (job.asked_count == 0) return;
  Questions questions;
  for (unsigned q = 0; q < job.asked_count; ++q) ask<kFrom>(questions, s.key[asked[q]], s.head[asked[q]]);
  VerdictId answers[kBurst];
  direction.classifier->classify(questions, answers);
  for (unsigned q = 0; q < job.asked_count; ++q) s.head[asked[q]] = answers[q];
}

/// In the order of the burst: what the verdicts do to the flows. A packet whose flow changed since the first look,
/// because of one before it in this burst, is looked at again.
template <Side kFrom>
void Pipeline::commit(Burst& burst, Scratch& s, unsigned live) {
  const uint8_t* const verdict_kind = rules_->verdict_kind().data();
  Count* const verdict_counts = verdicts_.data();
  Count all, accepted;
  for (unsigned j = 0; j < live; ++j) {
    const unsigned i = s.live[j];
    FlowEntry* const entry = s.entry[i];
    VerdictId verdict = s.head[i];
    auto accepts = static_cast<unsigned>(verdict_kind[verdict] == kAcceptKind);
    const uint16_t length = burst.length[i];
    const unsigned is_special = static_cast<unsigned>(s.inserted != 0) | s.care[i] |
                                (accepts & static_cast<unsigned>(s.step[i] >> 15)) |
                                static_cast<unsigned>(entry->state != s.seen_state[i]);
    Outcome outcome = accepts != 0 ? Outcome::kAccepted : Outcome::kBlocked;
    if (is_special != 0) [[unlikely]] {
      outcome = commit_special<kFrom>(s, i, verdict, outcome);
      accepts = passes(outcome) ? 1 : 0;
      if (outcome > Outcome::kBlocked) {
        outcomes_[static_cast<size_t>(outcome)].add(length);
        burst.outcome[i] = outcome;
        burst.dropped[burst.dropped_count++] = static_cast<uint8_t>(i);
        continue;
      }
    }
    burst.outcome[i] = outcome;
    burst.verdict[i] = verdict;
    verdict_counts[verdict].add(length);
    all.add(length);
    accepted.add({accepts, length & (uint64_t{0} - accepts)});
    burst.passed[burst.passed_count] = burst.dropped[burst.dropped_count] = static_cast<uint8_t>(i);
    burst.passed_count += accepts;
    burst.dropped_count += 1 - accepts;
  }
  outcomes_[static_cast<size_t>(Outcome::kAccepted)].add(accepted);
  outcomes_[static_cast<size_t>(Outcome::kBlocked)].add({all.packets - accepted.packets, all.bytes - accepted.bytes});
}

/// A packet for which the first look may not be the last word, or that changes its flow.
template <Side kFrom>
Outcome Pipeline::commit_special(Scratch& s, unsigned i, VerdictId& verdict, Outcome outcome) {
  FlowEntry* const entry = s.entry[i];
  const bool has_flow = entry != &s.none;
  bool is_as_seen = entry->state == s.seen_state[i];
  if (s.care[i] != 0) {
    // Most only want their timeout to start again.
    is_as_seen = is_as_seen && flows_.lives(*entry) && flows_.is_current(*entry) && !is_strangers<kFrom>(s, i, *entry);
  }
  if (is_as_seen && s.inserted != 0) {
    // Entries may have been given away, and what had no flow may have one.
    is_as_seen = has_flow ? FlowTable::is(*entry, s.key[i]) : flows_.find(s.key[i], s.hash[i]) == nullptr;
  }
  if (!is_as_seen) return settle<kFrom>(s, i, verdict);
  return outcome == Outcome::kAccepted ? pass<kFrom>(s, i, has_flow ? entry : nullptr, s.step[i]) : outcome;
}

/// Somebody else's packet in a flow that is not TCP, in the flow's own direction.
template <Side kFrom>
bool Pipeline::is_strangers(const Scratch& s, unsigned i, const FlowEntry& entry) {
  return kFrom == Side::kInside && s.key[i].flow_class() != FlowClass::kTcp && entry.opener() == kFrom &&
         entry.owner() != s.owner[i];
}

/// What an accepted packet does to its flow.
template <Side kFrom>
Outcome Pipeline::pass(Scratch& s, unsigned i, FlowEntry* entry, uint16_t step) {
  // A flow that exists has no such address.
  if (entry == nullptr && has_loopback_address(s.key[i])) return Outcome::kLoopbackAddress;
  if (is_invalid(step)) return Outcome::kAccepted;
  if ((step & step_bits::kOpens) == 0) {
    flows_.update(*entry, next_phase(step), (step & step_bits::kRefreshes) != 0);
    return Outcome::kAccepted;
  }
  ++s.inserted;
  const auto place = flows_.insert(s.key[i], s.hash[i], kFrom, s.owner[i], next_phase(step));
  return place.entry == nullptr ? Outcome::kTableFull : Outcome::kAccepted;
}

/// One packet, all by itself, by what the table says now.
template <Side kFrom>
Outcome Pipeline::settle(Scratch& s, unsigned i, VerdictId& verdict) {
  const FlowKey& key = s.key[i];
  FlowEntry* entry = flows_.find(key, s.hash[i]);
  if (entry != nullptr && !flows_.lives(*entry)) entry = nullptr;
  if (entry != nullptr && !flows_.is_current(*entry)) {
    if (rules_->would_open(*entry)) {
      flows_.set_current(*entry);
    } else {
      flows_.forget(*entry);
      entry = nullptr;
    }
  }
  verdict = VerdictTable::kPlainDrop;
  if (entry != nullptr && is_strangers<kFrom>(s, i, *entry)) return Outcome::kOwnerChanged;

  const uint32_t state = entry == nullptr ? s.none.state : entry->state;
  const uint16_t step = kSteps[static_cast<size_t>(kFrom)][(state & step_bits::kStateBits) | event_of(s.trait[i])];
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  size_t index = size_t{offset_of(s.trait[i])} + (step & step_bits::kState);
  if (kFrom == Side::kOutside && entry != nullptr) index += rules_->answered_offset()[entry->owner()];
  verdict = direction.heads[index];
  if ((verdict & Heads::kColumn) != 0) {
    Questions question;
    ask<kFrom>(question, key, verdict);
    direction.classifier->classify(question, &verdict);
  }
  if (rules_->verdict_kind()[verdict] != kAcceptKind) return Outcome::kBlocked;
  return pass<kFrom>(s, i, entry, step);
}

/// A frame that never comes before the rules.
void Pipeline::decide_unjudged(Burst& burst, unsigned i, Outcome outcome) {
  burst.outcome[i] = outcome;
  burst.verdict[i] = VerdictTable::kPlainDrop;
  outcomes_[static_cast<size_t>(outcome)].add(burst.length[i]);
  if (passes(outcome)) {
    burst.passed[burst.passed_count++] = static_cast<uint8_t>(i);
  } else {
    burst.dropped[burst.dropped_count++] = static_cast<uint8_t>(i);
  }
}

}  // namespace tails::fastpath
