#include "fastpath/bench/ledger.h"

#include <algorithm>

namespace tails::fastpath::bench {

void Tally::add(const Tally& other) {
  sent += other.sent;
  expected += other.expected;
  forbidden += other.forbidden;
  passed += other.passed;
  leaked += other.leaked;
  duplicated += other.duplicated;
  reordered += other.reordered;
  damaged += other.damaged;
  late += other.late;
  foreign += other.foreign;
  for (const auto& [name, count] : other.leaks) leaks[name] += count;
}

Ledger::Ledger(const Schedule& schedule) : schedule_(&schedule) {}

void Ledger::begin(uint32_t first, uint32_t count) {
  if (eras_.empty() || eras_.back().schedule != schedule_) eras_.push_back({first, schedule_});
  first_ = first;
  count_ = count;
  times_.assign(count, 0);
  for (auto& latest : latest_) latest.assign(schedule_->connections(), 0);
  tally_ = {};
}

const Schedule& Ledger::schedule_of(uint32_t sequence) const {
  constexpr uint32_t kHalf = 1U << 31;  // Numbers go round.
  for (size_t i = eras_.size(); i > 1; --i) {
    if (sequence - eras_[i - 1].first < kHalf) return *eras_[i - 1].schedule;
  }
  return eras_.empty() ? *schedule_ : *eras_.front().schedule;
}

void Ledger::sent(uint32_t sequence) {
  ++tally_.sent;
  switch (expected(schedule_->purpose(sequence))) {
    case Expected::kPasses: ++tally_.expected; break;
    case Expected::kBlocked: ++tally_.forbidden; break;
    case Expected::kEither: break;
  }
}

void Ledger::leaked(uint32_t sequence) {
  ++tally_.leaked;
  ++tally_.leaks[schedule_of(sequence).at(sequence).frame->name()];
}

void Ledger::arrived(uint32_t sequence, bool is_whole) {
  const uint32_t place = sequence - first_;
  const bool must_not = expected(schedule_of(sequence).purpose(sequence)) == Expected::kBlocked;
  if (place >= count_) {
    ++tally_.late;
    // Late or not, it is out.
    if (must_not) leaked(sequence);
    return;
  }
  if (must_not) return leaked(sequence);
  if (!is_whole) {
    ++tally_.damaged;
    return;
  }
  uint8_t& times = times_[place];
  if (times != 0) {
    ++tally_.duplicated;
    return;
  }
  times = 1;
  const Schedule::Entry entry = schedule_->at(sequence);
  if (expected(entry.purpose) != Expected::kPasses) return;
  ++tally_.passed;
  uint32_t& latest = latest_[static_cast<size_t>(entry.frame->from())][entry.connection];
  if (latest > place) ++tally_.reordered;
  latest = std::max(latest, place + 1);
}

std::vector<uint32_t> Ledger::missing(size_t most) const {
  std::vector<uint32_t> all;
  for (uint32_t place = 0; place < count_; ++place) {
    if (times_[place] == 0 && expected(schedule_->purpose(first_ + place)) == Expected::kPasses) {
      all.push_back(first_ + place);
    }
  }
  if (all.size() <= most) return all;
  std::vector<uint32_t> some;
  for (size_t i = 0; i < most; ++i) some.push_back(all[i * all.size() / most]);
  return some;
}

}  // namespace tails::fastpath::bench
