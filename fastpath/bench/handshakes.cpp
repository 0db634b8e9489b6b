#include "fastpath/bench/handshakes.h"

#include <algorithm>
#include <cassert>

namespace tails::fastpath::bench {

Handshakes::Handshakes(const Settings& settings)
    : settings_(settings), slots_(settings.window), count_(settings.count), whole_(settings.count) {
  assert(settings.window > 0 && settings.from <= settings.until);
  assert(uint64_t{settings.first} + settings.count <= uint64_t{1} << 30);
}

Purpose Handshakes::purpose(Step step) {
  switch (step) {
    case Step::kSyn: return Purpose::kSyn;
    case Step::kSynAck: return Purpose::kSynAck;
    case Step::kAck: return Purpose::kFirstAck;
    case Step::kReset: break;
  }
  return Purpose::kReset;
}

/// The next connections, as long as their slots are free.
void Handshakes::begin() {
  while (begun_ < count_) {
    Slot& slot = slots_[begun_ % slots_.size()];
    if (slot.is_taken) return;
    slot = {settings_.first + begun_, settings_.from, true, false, 0, 0};
    ready_.push_back(static_cast<unsigned>(begun_ % slots_.size()));
    ++begun_;
    ++under_way_;
  }
}

void Handshakes::look_for_lost(uint64_t now) {
  // Not at every call: there may be thousands.
  if (now - looked_ < settings_.patience / 4) return;
  looked_ = now;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.is_taken || !slot.is_waiting || now - slot.since < settings_.patience) continue;
    slot.is_waiting = false;
    if (slot.tries >= settings_.most_tries) {
      slot.is_taken = false;
      ++failed_;
      whole_ = std::min(whole_, slot.number - settings_.first);
      --under_way_;
      continue;
    }
    ++sent_again_;
    ready_.push_back(static_cast<unsigned>(i));
  }
}

std::optional<Handshakes::Frame> Handshakes::next(uint64_t now) {
  look_for_lost(now);
  begin();
  while (!ready_.empty()) {
    Slot& slot = slots_[ready_.front()];
    ready_.pop_front();
    // A frame that came late may have moved it on.
    if (!slot.is_taken || slot.is_waiting) continue;
    slot.is_waiting = true;
    slot.since = now;
    ++slot.tries;
    return Frame{slot.number, slot.step};
  }
  return std::nullopt;
}

void Handshakes::arrived(const Frame& frame) {
  if (frame.number < settings_.first || frame.number - settings_.first >= begun_) return;
  const auto place = static_cast<unsigned>((frame.number - settings_.first) % slots_.size());
  Slot& slot = slots_[place];
  if (!slot.is_taken || slot.number != frame.number || slot.step != frame.step) return;
  if (slot.step == settings_.until) {
    slot.is_taken = false;
    slot.is_waiting = false;
    ++done_;
    --under_way_;
    return;
  }
  slot.step = static_cast<Step>(static_cast<unsigned>(slot.step) + 1);
  slot.is_waiting = false;
  slot.tries = 0;
  ready_.push_back(place);
}

}  // namespace tails::fastpath::bench
