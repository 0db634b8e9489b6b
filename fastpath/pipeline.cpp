#include "fastpath/pipeline.h"

#include <array>
#include <bit>
#include <cstring>

#include "net/wire.h"

namespace tails::fastpath {
namespace {

using flow_model::Event;

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
    steps.all[i] = static_cast<uint16_t>(static_cast<unsigned>(state_index(step.state, direction)) |
                                         static_cast<unsigned>(step.next) << step_bits::kPhaseShift |
                                         (step.refreshes ? step_bits::kRefreshes : 0U) |
                                         (step.opens ? step_bits::kOpens : 0U) | (needs_care ? step_bits::kCare : 0U));
    steps.brief[i] = static_cast<uint8_t>((steps.all[i] & step_bits::kState) | (needs_care ? 0x80 : 0));
  }
  return steps;
}
const std::array<Steps, 2> kSteps = {make_steps(Side::kInside), make_steps(Side::kOutside)};

constexpr Phase next_phase(uint16_t step) { return static_cast<Phase>(step >> step_bits::kPhaseShift & 0xF); }
constexpr bool is_invalid(uint16_t step) {
  return (step & step_bits::kState) == static_cast<unsigned>(StateIndex::kInvalid);
}

bool has_loopback_address(const FlowKey& key) { return key.inside() >> 24 == 127 || key.outside() >> 24 == 127; }

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

/// What the stages hand on. Sets of frames have a bit for each place in the burst.
struct Pipeline::Scratch {
  BurstWork work;
  uint64_t live = 0;      ///< Parsing left them undecided.
  uint64_t passed = 0;    ///< Decided: they pass.
  uint64_t has_flow = 0;  ///< The lookup found one.
  uint64_t care = 0;      ///< LookUpJob's.
  uint64_t moves = 0;
  uint64_t asked = 0;
  unsigned inserted = 0;
  bool is_disturbed = false;  ///< Entries of any flow may have changed.

  [[nodiscard]] FlowEntry* entry(const FlowTable& flows, unsigned i) {
    if ((has_flow >> i & 1) == 0) return &work.none;
    return &flows.search().buckets[work.found[i]].entries[work.slot[i]];
  }
};

namespace {

struct NoWatch {
  void lap(Stage) const {}
};

/// Adds the time since the lap before to a stage's.
class StopWatch {
 public:
  explicit StopWatch(StageCycles& cycles) : cycles_(&cycles), since_(__builtin_ia32_rdtsc()) {}
  void lap(Stage stage) {
    const uint64_t now = __builtin_ia32_rdtsc();
    (*cycles_)[static_cast<size_t>(stage)] += now - since_;
    since_ = now;
  }

 private:
  StageCycles* cycles_;
  uint64_t since_;
};

constexpr uint64_t bit(unsigned place) { return uint64_t{1} << place; }
unsigned first_of(uint64_t set) { return static_cast<unsigned>(std::countr_zero(set)); }

}  // namespace

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
    process_from<Side::kInside>(burst, NoWatch());
  } else {
    process_from<Side::kOutside>(burst, NoWatch());
  }
}

void Pipeline::process(Side from, Burst& burst, StageCycles& cycles) {
  if (from == Side::kInside) {
    process_from<Side::kInside>(burst, StopWatch(cycles));
  } else {
    process_from<Side::kOutside>(burst, StopWatch(cycles));
  }
}

template <Side kFrom, class Watch>
void Pipeline::process_from(Burst& burst, Watch watch) {
  Scratch s;
  parse<kFrom>(burst, s);
  watch.lap(Stage::kParse);
  look_up<kFrom>(burst, s);
  watch.lap(Stage::kLookUp);
  if (s.asked != 0) classify<kFrom>(s);
  watch.lap(Stage::kClassify);
  commit<kFrom>(burst, s);
  watch.lap(Stage::kCommit);
  sweep(1);
  watch.lap(Stage::kSweep);
}

/// Fills in key, hash, owner and event of each frame, or its outcome.
///
/// The common frame is looked at by the kernel. Whatever differs in anything goes to the slow parser, which knows all
/// the ways in which frames can be wrong.
template <Side kFrom>
void Pipeline::parse(Burst& burst, Scratch& s) {
  const WireView& view = rules_->wire().view;
  const bool uses_dscp = view.owner_source == OwnerSource::kDscp;
  const ParseJob job{kFrom,
                     burst.data,
                     burst.length,
                     burst.known_good,
                     burst.count,
                     &rules_->direction(kFrom).tables,
                     static_cast<uint8_t>(uses_dscp && kFrom == Side::kInside ? 0x3F : 0),
                     uses_dscp,
                     &flows_.search(),
                     &s.work};
  const uint64_t uncommon = kernels_->parse(job);
  std::memset(burst.trim, 0, sizeof burst.trim);
  s.live = ~uncommon & (burst.count == kBurst ? ~uint64_t{0} : bit(burst.count) - 1);
  for (uint64_t left = uncommon; left != 0; left &= left - 1) {
    const unsigned i = first_of(left);
    if (parse_slowly<kFrom>(burst, s, i)) s.live |= bit(i);
  }
}

/// As `Judge` reads frames. True when the packet is undecided.
template <Side kFrom>
bool Pipeline::parse_slowly(Burst& burst, Scratch& s, unsigned i) {
  const WireView& view = rules_->wire().view;
  std::byte* const frame = burst.data[i];
  const wire::Bytes bytes(frame, burst.length[i]);
  const auto decide = [&](Outcome outcome) {
    burst.outcome[i] = outcome;
    outcomes_[static_cast<size_t>(outcome)].add(burst.length[i]);
    if (passes(outcome)) s.passed |= bit(i);
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
  BurstWork& work = s.work;
  work.key[i] = flow_key(kFrom, ip.tuple());
  work.hash[i] = flows_.hash(work.key[i]);
  work.bucket[i] = flows_.search().first_bucket(work.hash[i]);
  flows_.prefetch(work.hash[i]);
  work.owner[i] = tag;
  const uint8_t flags_or_type = ip.protocol == protocol::kTcp ? ip.tcp_flags : ip.icmp_type;
  work.event[i] = static_cast<uint8_t>(flow_model::event_of(ip.protocol, flags_or_type));
  work.base[i] = rules_->base(kFrom, tag, ip.protocol, ip.tcp_flags, ip.icmp_type, ip.icmp_code);
  return true;
}

/// The entry of each packet's flow, and its head by what the entry says.
template <Side kFrom>
void Pipeline::look_up(const Burst& burst, Scratch& s) {
  s.work.none = {0, 0,
                 static_cast<uint32_t>(kFrom) << FlowEntry::kOpenerShift | uint32_t{flows_.search().now_ticks[0]}
                                                                               << FlowEntry::kTickShift};
  flows_.set_current(s.work.none);
  LookUpJob job{kFrom,
                &flows_.search(),
                burst.count,
                &kSteps[static_cast<size_t>(kFrom)],
                rules_->direction(kFrom).heads.data(),
                rules_->answered_offset().data(),
                &s.work,
                0,
                0,
                0,
                0};
  kernels_->look_up(job);
  s.has_flow = job.has_flow & s.live;
  s.care = job.care & s.live;
  s.moves = job.moves & s.live;
  s.asked = job.asked & s.live;
}

/// The verdicts that the heads leave open.
template <Side kFrom>
void Pipeline::classify(Scratch& s) {
  Questions questions;
  uint8_t places[kBurst];
  kernels_->ask(kFrom, s.work, s.asked, questions, places);
  VerdictId answers[kBurst];
  rules_->direction(kFrom).classifier->classify(questions, answers);
  for (unsigned q = 0; q < questions.count; ++q) s.work.head[places[q]] = answers[q];
}

/// What the verdicts do: most packets are only counted, all of a verdict at once. Those that change a flow come in the
/// order of the burst, each with all that follow it in its bucket: what the first look said of them may be wrong by
/// then.
template <Side kFrom>
void Pipeline::commit(Burst& burst, Scratch& s) {
  const uint8_t* const kind = rules_->verdict_kind().data();
  const uint64_t all = burst.count == kBurst ? ~uint64_t{0} : bit(burst.count) - 1;
  for (uint64_t left = all & ~s.live; left != 0; left &= left - 1)
    s.work.head[first_of(left)] = VerdictTable::kPlainDrop;

  VerdictGroup groups[kVerdictGroups];
  uint64_t rare = s.live;
  const unsigned group_count = kernels_->group(s.work.head, rare, groups);
  uint64_t accepted = 0;
  for (unsigned g = 0; g < group_count; ++g) {
    if (kind[groups[g].verdict] == kAcceptKind) accepted |= groups[g].places;
  }
  for (uint64_t left = rare; left != 0; left &= left - 1) {
    if (kind[s.work.head[first_of(left)]] == kAcceptKind) accepted |= left & -left;
  }
  std::memcpy(burst.verdict, s.work.head, sizeof burst.verdict);
  kernels_->mark(s.live, accepted, burst.outcome);

  const uint64_t special = s.care | (s.moves & accepted);
  if (special != 0) {
    commit_special<kFrom>(burst, s, special, accepted);
    rare &= s.live;
    for (unsigned g = 0; g < group_count; ++g) groups[g].places &= s.live;
  }
  kernels_->count_bytes(burst.length, groups, group_count);
  Count passed, blocked;
  for (unsigned g = 0; g < group_count; ++g) {
    const Count count{static_cast<uint64_t>(std::popcount(groups[g].places)), groups[g].bytes};
    verdicts_[groups[g].verdict].add(count);
    (kind[groups[g].verdict] == kAcceptKind ? passed : blocked).add(count);
  }
  outcomes_[static_cast<size_t>(Outcome::kAccepted)].add(passed);
  outcomes_[static_cast<size_t>(Outcome::kBlocked)].add(blocked);
  for (uint64_t left = rare; left != 0; left &= left - 1) {
    const unsigned i = first_of(left);
    count(burst, s.work.head[i], i, burst.outcome[i]);
  }
  s.passed |= accepted & s.live;
  burst.passed_set = s.passed;
  burst.passed_count = kernels_->list(s.passed, burst.passed);
  burst.dropped_count = kernels_->list(all & ~s.passed, burst.dropped);
}

void Pipeline::count(const Burst& burst, VerdictId verdict, unsigned i, Outcome outcome) {
  outcomes_[static_cast<size_t>(outcome)].add(burst.length[i]);
  if (outcome == Outcome::kAccepted || outcome == Outcome::kBlocked) verdicts_[verdict].add(burst.length[i]);
}

/// Decides and counts the special packets; `live` keeps the others.
template <Side kFrom>
void Pipeline::commit_special(Burst& burst, Scratch& s, uint64_t special, uint64_t accepted) {
  s.live &= ~special;
  for (uint64_t left = special; left != 0; left &= left - 1) {
    const unsigned i = first_of(left);
    VerdictId verdict = s.work.head[i];
    const Outcome first_look = (accepted >> i & 1) != 0 ? Outcome::kAccepted : Outcome::kBlocked;
    const Outcome outcome = decide_special<kFrom>(s, i, verdict, first_look);
    burst.outcome[i] = outcome;
    burst.verdict[i] = verdict;
    count(burst, verdict, i, outcome);
    if (passes(outcome)) s.passed |= bit(i);
    const uint64_t related = s.is_disturbed ? s.live : kernels_->same_bucket(s.work, i) & s.live;
    const uint64_t behind = related & (~uint64_t{1} << i);
    left |= behind;
    s.live &= ~behind;
  }
}

/// A packet for which the first look may not be the last word, or that changes its flow.
template <Side kFrom>
Outcome Pipeline::decide_special(Scratch& s, unsigned i, VerdictId& verdict, Outcome outcome) {
  FlowEntry* const entry = s.entry(flows_, i);
  const bool has_flow = entry != &s.work.none;
  bool is_as_seen = entry->state == s.work.state[i];
  if ((s.care >> i & 1) != 0) {
    // Most only want their timeout to start again.
    is_as_seen = is_as_seen && flows_.lives(*entry) && flows_.is_current(*entry) && !is_strangers<kFrom>(s, i, *entry);
  }
  if (is_as_seen && s.inserted != 0) {
    // Entries may have been given away, and what had no flow may have one.
    is_as_seen =
        has_flow ? FlowTable::is(*entry, s.work.key[i]) : flows_.find(s.work.key[i], s.work.hash[i]) == nullptr;
  }
  if (!is_as_seen) return settle<kFrom>(s, i, verdict);
  const uint16_t step =
      kSteps[static_cast<size_t>(kFrom)].all[(entry->state & step_bits::kStateBits) | s.work.event[i]];
  return outcome == Outcome::kAccepted ? pass<kFrom>(s, i, has_flow ? entry : nullptr, step) : outcome;
}

/// Somebody else's packet in a flow that is not TCP, in the flow's own direction.
template <Side kFrom>
bool Pipeline::is_strangers(const Scratch& s, unsigned i, const FlowEntry& entry) {
  return kFrom == Side::kInside && s.work.key[i].flow_class() != FlowClass::kTcp && entry.opener() == kFrom &&
         entry.owner() != s.work.owner[i];
}

/// What an accepted packet does to its flow.
template <Side kFrom>
Outcome Pipeline::pass(Scratch& s, unsigned i, FlowEntry* entry, uint16_t step) {
  // A flow that exists has no such address.
  if (entry == nullptr && has_loopback_address(s.work.key[i])) return Outcome::kLoopbackAddress;
  if (is_invalid(step)) return Outcome::kAccepted;
  if ((step & step_bits::kOpens) == 0) {
    flows_.update(*entry, next_phase(step), (step & step_bits::kRefreshes) != 0);
    return Outcome::kAccepted;
  }
  ++s.inserted;
  const auto place = flows_.insert(s.work.key[i], s.work.hash[i], kFrom, s.work.owner[i], next_phase(step));
  if (place.evicted || place.moved) s.is_disturbed = true;
  return place.entry == nullptr ? Outcome::kTableFull : Outcome::kAccepted;
}

/// One packet, all by itself, by what the table says now.
template <Side kFrom>
Outcome Pipeline::settle(Scratch& s, unsigned i, VerdictId& verdict) {
  const FlowKey& key = s.work.key[i];
  FlowEntry* entry = flows_.find(key, s.work.hash[i]);
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

  const uint32_t state = entry == nullptr ? s.work.none.state : entry->state;
  const uint16_t step = kSteps[static_cast<size_t>(kFrom)].all[(state & step_bits::kStateBits) | s.work.event[i]];
  const FilterRules::Direction& direction = rules_->direction(kFrom);
  size_t index = size_t{s.work.base[i]} + (step & step_bits::kState);
  if (kFrom == Side::kOutside && entry != nullptr) index += rules_->answered_offset()[entry->owner()];
  verdict = direction.heads[index];
  if ((verdict & Heads::kColumn) != 0) {
    Questions question;
    uint8_t place[kBurst];
    s.work.head[i] = verdict;
    kernels_->ask(kFrom, s.work, bit(i), question, place);
    direction.classifier->classify(question, &verdict);
  }
  if (rules_->verdict_kind()[verdict] != kAcceptKind) return Outcome::kBlocked;
  return pass<kFrom>(s, i, entry, step);
}

}  // namespace tails::fastpath
