#include "fastpath/pipeline.h"

#include <array>
#include <bit>

#include "fastpath/checksum.h"
#include "net/wire.h"

namespace tails::fastpath {
namespace {

using flow_model::Event;

/// flow_model::step for every phase, direction and event, packed: next phase in bits 0–3, StateIndex in 4–6, opens in
/// 7, refreshes in 8.
constexpr unsigned kStepOpens = 1U << 7, kStepRefreshes = 1U << 8;

std::array<uint16_t, 16 * 2 * 16> make_steps() {
  std::array<uint16_t, 16 * 2 * 16> steps{};
  for (unsigned phase = 0; phase < 16; ++phase) {
    for (unsigned direction = 0; direction < 2; ++direction) {
      for (unsigned event = 0; event < 16; ++event) {
        // Numbers that nothing has are INVALID.
        flow_model::Step step;
        if (phase < flow_model::kPhaseCount && event < flow_model::kEventCount) {
          step =
              flow_model::step(static_cast<Phase>(phase), static_cast<Direction>(direction), static_cast<Event>(event));
        }
        const auto state = static_cast<unsigned>(state_index(step.state, static_cast<Direction>(direction)));
        steps[phase << 5 | direction << 4 | event] =
            static_cast<uint16_t>(static_cast<unsigned>(step.next) | state << 4 | (step.opens ? kStepOpens : 0) |
                                  (step.refreshes ? kStepRefreshes : 0));
      }
    }
  }
  return steps;
}
const std::array<uint16_t, 16 * 2 * 16> kSteps = make_steps();

constexpr Phase next_phase(uint16_t step) { return static_cast<Phase>(step & 0xF); }
constexpr unsigned state_of(uint16_t step) { return step >> 4 & 7; }
constexpr bool is_invalid(uint16_t step) { return state_of(step) == static_cast<unsigned>(StateIndex::kInvalid); }

constexpr uint16_t to_host(uint16_t wire) { return __builtin_bswap16(wire); }

/// DHCP's two ports, and whatever else has one of them, are left to the slow parser.
constexpr bool is_near_dhcp(uint32_t ports) {
  return static_cast<bool>(static_cast<unsigned>((ports & 0xFFFF) - 67 <= 1) |
                           static_cast<unsigned>((ports >> 16) - 67 <= 1));
}

constexpr uint8_t kAcceptKind = static_cast<uint8_t>(Verdict::kAccept);

/// Takes the six DiffServ bits out of an IPv4 header and out of its checksum (RFC 1624).
void strip_dscp(std::byte* ip) {
  const uint32_t tos = std::to_integer<uint32_t>(ip[1]);
  const uint32_t sum = to_host(load16(ip + 10)) + (tos & 0xFC);
  const uint16_t checksum = to_host(static_cast<uint16_t>((sum & 0xFFFF) + (sum >> 16)));
  ip[1] = static_cast<std::byte>(tos & 3);
  std::memcpy(ip + 10, &checksum, sizeof checksum);
}

/// Whether the transport checksum of a common packet is right, or UDP has none. `total`: IP header of 20 bytes, and
/// payload.
bool is_transport_sum_good(const std::byte* ip, uint32_t total, uint32_t protocol) {
  // The pseudo header is the addresses, which lie right before the payload, protocol and length (RFC 9293 section 3.1).
  const uint64_t pseudo = uint64_t{protocol} << 8 | uint64_t{to_host(static_cast<uint16_t>(total - 20))} << 16;
  const bool has_none = protocol == protocol::kUdp && load16(ip + 26) == 0;
  return fold_sum(sum_words(ip + 12, total - 12, (pseudo & 0xFFFF) + (pseudo >> 16))) == 0xFFFF || has_none;
}

bool is_header_sum_good(const std::byte* ip) {
  const uint64_t a = load64(ip), b = load64(ip + 8);
  return fold_sum((a & 0xFFFFFFFF) + (a >> 32) + (b & 0xFFFFFFFF) + (b >> 32) + load32(ip + 16)) == 0xFFFF;
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
  bool needs_settling[kBurst];
  uint8_t live[kBurst];  ///< Places of the packets that parsing left undecided.
  FlowEntry none;        ///< Stands for "no flow": a flow of this side, now, in no phase.
  unsigned inserted = 0;
};

Pipeline::Pipeline(std::shared_ptr<const FilterRules> rules, FlowTable flows)
    : rules_(std::move(rules)), flows_(std::move(flows)), verdicts_(rules_->wire().verdicts.size()) {}

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
/// The common frame is looked at here: no VLAN, 20 bytes of IPv4 header, TCP or UDP, sound. Whatever differs in
/// anything goes to the slow parser, which knows all the ways in which frames can be wrong.
template <Side kFrom>
unsigned Pipeline::parse(Burst& burst, Scratch& s) {
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  const bool uses_dscp = rules_->wire().view.owner_source == OwnerSource::kDscp;
  const uint32_t tag_mask = uses_dscp && kFrom == Side::kInside ? 0x3F : 0;
  const uint64_t known_tags = rules_->wire().known_tags;
  unsigned live = 0;
  for (unsigned i = 0; i < burst.count; ++i) {
    std::byte* const ip = burst.data[i] + 14;
    burst.trim[i] = 0;
    const uint32_t type_and_version = load32(ip - 2);
    const uint32_t total = to_host(load16(ip + 2));
    const auto protocol = std::to_integer<uint32_t>(ip[9]);
    const uint64_t addresses = __builtin_bswap64(load64(ip + 12));
    const uint32_t ports = __builtin_bswap32(load32(ip + 20));
    const uint32_t tag = type_and_version >> 26 & tag_mask;
    const bool is_tcp = protocol == protocol::kTcp;

    // Bitwise: one branch for all of it, which nearly every frame takes.
    const uint32_t tcp_header = std::to_integer<uint32_t>(ip[32]) >> 2 & 0x3C;
    const unsigned tcp_fits = static_cast<unsigned>(tcp_header >= 20) & static_cast<unsigned>(tcp_header + 20 <= total);
    const unsigned udp_fits = static_cast<unsigned>(protocol == protocol::kUdp) & static_cast<unsigned>(total >= 28) &
                              static_cast<unsigned>(to_host(load16(ip + 24)) + uint32_t{20} == total) &
                              static_cast<unsigned>(!is_near_dhcp(ports));
    const unsigned is_common =
        static_cast<unsigned>((type_and_version & 0xFFFFFF) == 0x450008) &
        static_cast<unsigned>(total + 14 <= burst.length[i]) & static_cast<unsigned>((load16(ip + 6) & 0xFF3F) == 0) &
        static_cast<unsigned>(addresses >> 56 != 127) & static_cast<unsigned>((addresses >> 24 & 0xFF) != 127) &
        static_cast<unsigned>(known_tags >> tag & 1) & (is_tcp ? tcp_fits : udp_fits);
    const bool is_sound =
        is_common != 0 && ((burst.known_good[i] & Burst::kIpChecksumGood) != 0 || is_header_sum_good(ip)) &&
        ((burst.known_good[i] & Burst::kTransportChecksumGood) != 0 || is_transport_sum_good(ip, total, protocol));
    if (!is_sound) [[unlikely]] {
      s.live[live] = static_cast<uint8_t>(i);
      live += parse_slowly<kFrom>(burst, s, i) ? 1U : 0U;
      continue;
    }
    // Inside the lower half, outside the upper.
    const uint64_t ends = kFrom == Side::kInside ? std::rotr(addresses, 32) : addresses;
    const uint32_t end_ports = kFrom == Side::kInside ? std::rotr(ports, 16) : ports;
    const auto flow_class = static_cast<uint64_t>(is_tcp ? FlowClass::kTcp : FlowClass::kUdp);
    s.key[i] = std::bit_cast<FlowKey>(std::array<uint64_t, 2>{ends, flow_class << 32 | end_ports});
    s.hash[i] = flows_.hash(s.key[i]);
    flows_.prefetch(s.hash[i]);
    s.owner[i] = static_cast<uint8_t>(tag);
    s.trait[i] = is_tcp ? direction.tcp[std::to_integer<size_t>(ip[33])] : direction.udp;
    // Before the verdict: of a frame that is dropped nobody sees the tag.
    if (uses_dscp) strip_dscp(ip);
    s.live[live++] = static_cast<uint8_t>(i);
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
  if (kLoopbackNetV4.contains(ip.source) || kLoopbackNetV4.contains(ip.destination)) {
    return decide(Outcome::kLoopbackAddress);
  }
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
  s.trait[i] = rules_->trait(kFrom, ip.protocol, ip.tcp_flags, ip.icmp_type, ip.icmp_code);
  return true;
}

/// The entry of each packet's flow, and its head by what the entry says; then the verdicts that the heads leave open.
template <Side kFrom>
void Pipeline::look_up(Scratch& s, unsigned live) {
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  const auto& answered_owner = rules_->answered_owner();
  s.none = {0, 0, 0, static_cast<uint32_t>(kFrom) << 8};
  flows_.set_current(s.none);
  flows_.refresh(s.none);

  Questions questions;
  uint8_t asked[kBurst];
  for (unsigned j = 0; j < live; ++j) {
    const unsigned i = s.live[j];
    FlowEntry* const found = flows_.find(s.key[i], s.hash[i]);
    FlowEntry* const entry = found == nullptr ? &s.none : found;
    const uint32_t state = entry->state;
    const auto phase = static_cast<unsigned>(entry->phase());
    const unsigned reply = entry->opener() == kFrom ? 0 : 1;
    unsigned is_strangers = 0;
    uint8_t owner = s.owner[i];
    if (kFrom == Side::kInside) {
      is_strangers = static_cast<unsigned>(s.key[i].flow_class != static_cast<uint32_t>(FlowClass::kTcp)) &
                     static_cast<unsigned>(phase != 0) & (reply ^ 1) & static_cast<unsigned>(owner != entry->owner());
    } else {
      owner = answered_owner[entry->owner()];
    }
    s.needs_settling[i] = static_cast<bool>(static_cast<unsigned>(!flows_.lives(*entry)) |
                                            static_cast<unsigned>(!flows_.is_current(*entry)) | is_strangers);
    const uint16_t step = kSteps[phase << 5 | reply << 4 | s.trait[i].event];
    const uint16_t head =
        direction.heads[size_t{direction.owner_offset[owner]} + s.trait[i].kind_offset + state_of(step)];
    s.entry[i] = entry;
    s.seen_state[i] = state;
    s.step[i] = step;
    s.head[i] = head;

    const FlowKey& key = s.key[i];
    const unsigned q = questions.count;
    questions.destination[q] = kFrom == Side::kInside ? key.outside : key.inside;
    questions.source[q] = kFrom == Side::kInside ? key.inside : key.outside;
    questions.port[q] = kFrom == Side::kInside ? key.outside_port : key.inside_port;
    questions.source_port[q] = kFrom == Side::kInside ? key.inside_port : key.outside_port;
    questions.column[q] = head & (Heads::kColumn - 1);
    asked[q] = static_cast<uint8_t>(i);
    questions.count += head >> 15;
  }
  if (questions.count == 0) return;
  VerdictId answers[kBurst];
  direction.classifier->classify(questions, answers);
  for (unsigned q = 0; q < questions.count; ++q) s.head[asked[q]] = answers[q];
}

/// In the order of the burst: what the verdicts do to the flows. A packet whose flow changed since the first look,
/// because of one before it in this burst, is looked at again.
template <Side kFrom>
void Pipeline::commit(Burst& burst, Scratch& s, unsigned live) {
  const uint8_t* const verdict_kind = rules_->verdict_kind().data();
  for (unsigned j = 0; j < live; ++j) {
    const unsigned i = s.live[j];
    FlowEntry* const entry = s.entry[i];
    VerdictId verdict = s.head[i];
    Outcome outcome = verdict_kind[verdict] == kAcceptKind ? Outcome::kAccepted : Outcome::kBlocked;
    bool as_seen = !s.needs_settling[i] && entry->state == s.seen_state[i];
    if (s.inserted != 0) {
      // Entries may have been given away, and what had no flow may have one.
      as_seen =
          as_seen && (entry == &s.none ? flows_.find(s.key[i], s.hash[i]) == nullptr : FlowTable::is(*entry, s.key[i]));
    }
    if (!as_seen) [[unlikely]] {
      outcome = settle<kFrom>(s, i, verdict);
    } else if (outcome == Outcome::kAccepted && !is_invalid(s.step[i])) {
      const uint16_t step = s.step[i];
      if ((step & kStepOpens) != 0) {
        outcome = open<kFrom>(s, i, step);
      } else if (entry != &s.none) {
        flows_.update(*entry, next_phase(step), (step & kStepRefreshes) != 0);
      }
    }
    burst.outcome[i] = outcome;
    burst.verdict[i] = verdict;
    const auto length = burst.length[i];
    outcomes_[static_cast<size_t>(outcome)].add(length);
    if (outcome == Outcome::kAccepted || outcome == Outcome::kBlocked) verdicts_[verdict].add(length);
    const unsigned pass = passes(outcome) ? 1 : 0;
    burst.passed[burst.passed_count] = burst.dropped[burst.dropped_count] = static_cast<uint8_t>(i);
    burst.passed_count += pass;
    burst.dropped_count += 1 - pass;
  }
}

template <Side kFrom>
Outcome Pipeline::open(Scratch& s, unsigned i, uint16_t step) {
  ++s.inserted;
  const FlowTable::Place place = flows_.insert(s.key[i], s.hash[i], kFrom, s.owner[i], next_phase(step));
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
  const bool is_reply = entry != nullptr && entry->opener() != kFrom;
  const auto phase = static_cast<unsigned>(entry == nullptr ? Phase::kNone : entry->phase());
  uint8_t owner = s.owner[i];
  verdict = VerdictTable::kPlainDrop;
  if (kFrom == Side::kInside) {
    const bool is_tcp = key.flow_class == static_cast<uint32_t>(FlowClass::kTcp);
    if (entry != nullptr && !is_reply && !is_tcp && owner != entry->owner()) return Outcome::kOwnerChanged;
  } else {
    owner = entry == nullptr ? uint8_t{0} : rules_->answered_owner()[entry->owner()];
  }
  const uint16_t step = kSteps[phase << 5 | (is_reply ? 1U : 0U) << 4 | s.trait[i].event];
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  verdict = direction.heads[size_t{direction.owner_offset[owner]} + s.trait[i].kind_offset + state_of(step)];
  if ((verdict & Heads::kColumn) != 0) {
    Questions question;
    question.count = 1;
    question.destination[0] = kFrom == Side::kInside ? key.outside : key.inside;
    question.source[0] = kFrom == Side::kInside ? key.inside : key.outside;
    question.port[0] = kFrom == Side::kInside ? key.outside_port : key.inside_port;
    question.source_port[0] = kFrom == Side::kInside ? key.inside_port : key.outside_port;
    question.column[0] = verdict & (Heads::kColumn - 1);
    direction.classifier->classify(question, &verdict);
  }
  if (rules_->verdict_kind()[verdict] != kAcceptKind) return Outcome::kBlocked;
  if (is_invalid(step)) return Outcome::kAccepted;
  if ((step & kStepOpens) != 0) return open<kFrom>(s, i, step);
  if (entry != nullptr) flows_.update(*entry, next_phase(step), (step & kStepRefreshes) != 0);
  return Outcome::kAccepted;
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
