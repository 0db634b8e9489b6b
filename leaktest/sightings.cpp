#include "leaktest/sightings.h"

#include <algorithm>
#include <span>

namespace tails::leaktest {
namespace {

constexpr uint32_t kNobody = 0xFFFFFFFE;

bool has_ports(const Frame& frame) {
  return !frame.is_later_fragment && (frame.protocol == protocol::kTcp || frame.protocol == protocol::kUdp);
}

}  // namespace

Sightings::Sightings(const policy::Policy& policy, const Plan& plan, const Bed& bed)
    : policy_(policy), plan_(plan), bed_(bed) {
  for (const Case& attempt : plan.cases) matrix_.outcomes.push_back({attempt, {}, Judgement::kAsMeant});
  matrix_.notices = plan.notices;
}

void Sightings::begin_round(unsigned round) {
  before_ = std::move(by_port_);
  by_port_.clear();
  for (const Case& attempt : plan_.cases) {
    if (attempt.round == round) by_port_[attempt.source.port] = attempt.id;
  }
}

void Sightings::hear(const Fate& fate) {
  Observation& seen = matrix_.outcomes[fate.id].seen;
  seen.error = fate.error;
  seen.is_answered |= fate.is_answered;
}

void Sightings::see(std::string_view place, const Frame& frame) {
  const bool left_machine = place == "outside";
  if (left_machine) ++matrix_.packets;
  if (const auto id = case_of(frame)) {
    note(matrix_.outcomes[*id], place, frame);
  } else if (const auto asked = by_port_.find(frame.destination_port); has_ports(frame) && asked != by_port_.end()) {
    note_answer(matrix_.outcomes[asked->second], place);
  } else if (left_machine) {
    note_nobody(frame);
  }
}

std::optional<uint32_t> Sightings::case_of(const Frame& frame) const {
  if (frame.token && *frame.token < plan_.cases.size()) return *frame.token;
  if (!has_ports(frame)) return std::nullopt;
  // What the kernel says late of a flow of the round before (a reset, say) is not of the case that has the port now.
  const auto find = [&](const std::map<Port, uint32_t>& round, bool has_target) -> std::optional<uint32_t> {
    const auto named = round.find(frame.source_port);
    if (named == round.end()) return std::nullopt;
    const Case& attempt = plan_.cases[named->second];
    const bool is_target =
        frame.destination == attempt.target.address || frame.destination == attempt.arrives_at.address;
    return is_target || !has_target ? std::optional(named->second) : std::nullopt;
  };
  auto found = find(by_port_, true);
  if (!found) found = find(before_, true);
  return found ? found : find(by_port_, false);
}

void Sightings::note(Outcome& outcome, std::string_view place, const Frame& frame) const {
  const Case& attempt = outcome.attempt;
  // Of a flow that another user opened, only what bears the case's token is the case's.
  if (is_into_flow(attempt) && !frame.token) return;
  // What a guest hears of its own.
  if (place == attempt.place) return;
  Observation& seen = outcome.seen;
  seen.is_seen = true;
  const bool is_first_hop = attempt.place.empty() || place == "outside";
  if (is_first_hop && has_ports(frame)) {
    const Endpoint to{frame.destination, frame.destination_port};
    if (to != attempt.arrives_at) seen.is_elsewhere = true;
  }
  if (place == "outside" && bed_.guests.contains(attempt.place)) {
    seen.is_unmasked |= frame.source != kHostInternet && frame.source != kHostLan;
  }
}

/// An answer on its way back: to whoever put the question on a cable; to anybody else it is no news.
void Sightings::note_answer(Outcome& outcome, std::string_view place) {
  const Case& attempt = outcome.attempt;
  if (attempt.means == Means::kInject) outcome.seen.is_answered = true;
  if (place == "outside" && !attempt.place.empty()) outcome.seen.is_seen = true;
}

/// What left the machine and is nobody's attempt; each kind once.
void Sightings::note_nobody(const Frame& frame) {
  Outcome outcome;
  outcome.attempt.id = kNobody;
  outcome.attempt.user = "the kernel itself";
  outcome.attempt.to = to_string(frame.destination);
  outcome.attempt.how = frame.is_icmp_error() ? "an ICMP error" : "protocol " + std::to_string(frame.protocol);
  outcome.attempt.protocol = frame.protocol;
  outcome.attempt.target = outcome.attempt.arrives_at = {frame.destination, frame.destination_port};
  outcome.attempt.expected = Expected::kStopped;
  outcome.attempt.origin = policy_.origin;
  outcome.seen.is_seen = true;
  outcome.judgement = Judgement::kLeak;
  const std::span known = std::span(matrix_.outcomes).subspan(plan_.cases.size());
  const bool is_known = std::ranges::any_of(known, [&](const Outcome& other) {
    return other.attempt.target == outcome.attempt.target && other.attempt.how == outcome.attempt.how;
  });
  if (!is_known) matrix_.outcomes.push_back(std::move(outcome));
}

Matrix Sightings::judge() && {
  for (Outcome& outcome : matrix_.outcomes) {
    if (outcome.attempt.id != kNobody) outcome.judgement = leaktest::judge(outcome.attempt, outcome.seen);
  }
  return std::move(matrix_);
}

}  // namespace tails::leaktest
