#include "fastpath/bench/wire_bench.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace tails::fastpath::bench {
namespace {

struct Mix {
  std::string name;
  std::vector<Share> shares;
};

/// Both directions of what is open, and `percent` of something else.
Mix mix(std::string name, Purpose other, unsigned percent) {
  std::vector<Share> shares = {{Purpose::kSegment, 100 - percent}, {Purpose::kAnswer, 100 - percent}};
  if (percent != 0) shares.push_back({other, 2 * percent});
  return {std::move(name), std::move(shares)};
}

std::vector<Mix> mixes(unsigned leak_percent) {
  return {mix("leaks", Purpose::kLeak, leak_percent), mix("established", Purpose::kLeak, 0),
          mix("syn-flood", Purpose::kFlood, 50), mix("fragments", Purpose::kFragment, 50),
          mix("illegal", Purpose::kIllegal, 50)};
}

constexpr unsigned kLatencyPercents[] = {10, 50, 90};
/// Trials at a load, of which three must agree.
constexpr unsigned kTrialsToBeSure = 5;
/// From the second search on: how far from the first one's result it is looked.
constexpr double kNear = 1.5;

class Bench {
 public:
  Bench(Tester& tester, std::span<const SizedTraffic> sizes, const WireSettings& settings, const WireProgress& progress)
      : tester_(tester), sizes_(sizes), settings_(settings), progress_(progress) {}

  Result<WireResult> run() {
    const std::vector<Mix> all = mixes(settings_.leak_percent);
    const size_t mixes = settings_.searches ? all.size() : 1;
    steps_ = 3 + mixes * settings_.trials + (settings_.searches ? std::size(kLatencyPercents) * settings_.trials : 0) +
             settings_.trials;
    if (auto done = open(); !done) return tl::unexpected(done.error());
    if (auto done = hold(); !done) return tl::unexpected(done.error());
    if (auto done = find_limit(all.front()); !done) return tl::unexpected(done.error());
    for (size_t i = 0; i < mixes; ++i) {
      const auto found = settings_.searches ? search(all[i]) : measure(all[i]);
      if (!found) return tl::unexpected(found.error());
    }
    if (settings_.searches) {
      if (auto done = latencies(all.front()); !done) return tl::unexpected(done.error());
    }
    if (auto done = connection_rate(); !done) return tl::unexpected(done.error());
    return std::move(result_);
  }

 private:
  void step(std::string_view doing) {
    progress_(doing, std::min(1.0, static_cast<double>(step_++) / static_cast<double>(steps_)));
  }
  /// What is sent for `mix`, from the next trial on.
  const Schedule& follow(const Mix& mix) {
    const auto [at, is_new] = schedules_.try_emplace(mix.name, sizes_, mix.shares, std::max(result_.opened, 1U));
    if (!ledger_) ledger_.emplace(at->second);
    ledger_->follow(at->second);
    return at->second;
  }

  Result<void> open() {
    step("opening connections");
    // First a few: where nothing comes through, it need not take long to say so.
    constexpr uint32_t kFew = 16;
    Handshakes few({.count = std::min(kFew, settings_.connections), .patience = kPatience, .most_tries = 20});
    if (auto done = tester_.connect(few, Tester::Peers::kConnections, Nanoseconds(0)); !done) {
      return tl::unexpected(done.error());
    }
    if (few.done() == 0) {
      return fail(ErrorKind::kRefused, "no connection can be opened: nothing comes through",
                  "Is the filter running, with the same policy, and are the cables where they should be? The first "
                  "port leads to the filter's inside.");
    }
    const uint32_t first = few.settings().count;
    Handshakes all({.first = first,
                    .count = settings_.connections - first,
                    .window = kWindow,
                    .patience = kPatience,
                    .most_tries = 20});
    const auto done = tester_.connect(all, Tester::Peers::kConnections, Nanoseconds(0));
    if (!done) return tl::unexpected(done.error());
    result_.opened = few.failed() != 0 ? few.whole() : first + all.whole();
    return {};
  }

  /// Asks each of them once more, when all are open.
  Result<void> hold() {
    step("asking whether all are open");
    Handshakes all({.count = result_.opened, .window = kWindow, .from = Handshakes::Step::kAck, .patience = kPatience});
    const auto done = tester_.connect(all, Tester::Peers::kConnections, Nanoseconds(0));
    if (!done) return tl::unexpected(done.error());
    result_.held = all.done();
    return {};
  }

  /// What the tester can send at all: no load above it can be tried.
  Result<void> find_limit(const Mix& mix) {
    step("finding the tester's limit");
    constexpr double kAnyMore = 200e6;
    const Schedule& what = follow(mix);
    const auto trial = tester_.trial(what, *ledger_, settings_.load > 0 ? settings_.load : kAnyMore,
                                     std::min<Nanoseconds>(settings_.trial, std::chrono::milliseconds(50)));
    if (!trial) return tl::unexpected(trial.error());
    const double sent = static_cast<double>(trial->tally.sent) / std::max(trial->seconds, 1e-6);
    result_.tester_limit = settings_.load > 0 ? std::min(sent, settings_.load) : sent;
    return {};
  }

  Result<Trial> trial(const Schedule& what, double load, MixResult& mix) {
    auto trial = tester_.trial(what, *ledger_, load, settings_.trial);
    if (!trial) return trial;
    mix.tally.add(trial->tally);
    mix.wrongly_blocked += trial->wrongly_blocked;
    ++mix.trials;
    ++result_.trials;
    return trial;
  }

  Result<void> measure(const Mix& mix) {
    MixResult& found = result_.mixes.emplace_back();
    found.name = mix.name;
    const Schedule& what = follow(mix);
    LatencyResult& latency = result_.latencies.emplace_back();
    latency.percent = 100;
    latency.load = result_.tester_limit;
    std::vector<double> losses;
    for (unsigned i = 0; i < settings_.trials; ++i) {
      step(mix.name);
      const auto done = trial(what, result_.tester_limit, found);
      if (!done) return tl::unexpected(done.error());
      const double rate = static_cast<double>(done->tally.sent) / std::max(done->seconds, 1e-6);
      losses.push_back(done->result(rate, settings_.trial).loss_ratio);
      found.ndr.push_back(rate * (1 - losses.back()));
      add(latency, *done);
    }
    found.points.push_back({result_.tester_limit, Spread::of(losses).median, found.tally.leaked, settings_.trials});
    return {};
  }

  Result<void> search(const Mix& mix) {
    MixResult& found = result_.mixes.emplace_back();
    found.name = mix.name;
    const Schedule& what = follow(mix);
    std::map<double, std::vector<double>> losses;
    std::map<double, uint64_t> leaks;
    const auto measure = [&](double load, Nanoseconds duration) -> Result<TrialResult> {
      const auto done = trial(what, load, found);
      if (!done) return tl::unexpected(done.error());
      const TrialResult result = done->result(load, duration);
      losses[load].push_back(result.loss_ratio);
      leaks[load] += done->tally.leaked;
      return result;
    };
    const Nanoseconds sure = settings_.trial * kTrialsToBeSure;
    const double most = result_.tester_limit;
    RateSearch::Settings wide{.least = most / 1000, .most = most, .goals = {}};
    wide.goals = {{.name = "ndr", .trial = settings_.trial, .duration_sum = sure, .loss_ratio = 0},
                  {.name = "pdr", .trial = settings_.trial, .duration_sum = sure, .loss_ratio = 0.005}};
    wide.most_trials = 400;
    double last = 0;
    for (unsigned i = 0; i < settings_.trials; ++i) {
      step(mix.name);
      RateSearch::Settings now = wide;
      if (last > 0) {
        now.least = std::max(wide.least, last / kNear);
        now.most = std::min(most, last * kNear);
      }
      auto results = RateSearch(now).run(measure);
      if (!results) return tl::unexpected(results.error());
      // Where it is not near the last one, it is looked for everywhere.
      if (last > 0 && (results->front().kind == GoalResult::Kind::kNone ||
                       (results->front().kind == GoalResult::Kind::kAtLeast && now.most < most))) {
        results = RateSearch(wide).run(measure);
        if (!results) return tl::unexpected(results.error());
      }
      note(found, *results);
      found.ndr.push_back(results->at(0).throughput);
      found.pdr.push_back(results->at(1).throughput);
      last = results->at(0).lower.value_or(0);
    }
    for (const auto& [load, all] : losses) {
      found.points.push_back({load, Spread::of(all).median, leaks[load], static_cast<unsigned>(all.size())});
    }
    return {};
  }

  static void note(MixResult& found, const std::vector<GoalResult>& results) {
    for (const GoalResult& result : results) {
      switch (result.kind) {
        case GoalResult::Kind::kRegular: break;
        case GoalResult::Kind::kAtLeast: found.remark = "the tester's own limit: the filter takes at least this"; break;
        case GoalResult::Kind::kNone: found.remark = "not even the lowest rate that was tried is met"; break;
        case GoalResult::Kind::kUndecided: found.remark = "bounds further apart than asked"; break;
      }
    }
  }

  Result<void> latencies(const Mix& mix) {
    const double ndr = Spread::of(result_.mixes.front().ndr).median;
    if (ndr <= 0) return {};
    const Schedule& what = follow(mix);
    for (const unsigned percent : kLatencyPercents) {
      LatencyResult latency;
      latency.percent = percent;
      latency.load = ndr * percent / 100;
      for (unsigned i = 0; i < settings_.trials; ++i) {
        step("latency");
        const auto done = trial(what, latency.load, result_.mixes.front());
        if (!done) return tl::unexpected(done.error());
        add(latency, *done);
      }
      result_.latencies.push_back(std::move(latency));
    }
    return {};
  }

  static void add(LatencyResult& latency, const Trial& trial) {
    latency.latency.add(trial.latency);
    latency.p50_us.push_back(static_cast<double>(trial.latency.quantile(0.5)) * 1e-3);
    latency.p99_us.push_back(static_cast<double>(trial.latency.quantile(0.99)) * 1e-3);
  }

  Result<void> connection_rate() {
    uint32_t first = 0;
    constexpr uint32_t kRoom = 1U << 24;
    for (unsigned i = 0; i < settings_.trials; ++i) {
      step("setting up connections");
      Handshakes handshakes(
          {.first = first, .count = kRoom, .window = 512, .until = Handshakes::Step::kReset, .patience = kPatience});
      const auto seconds = tester_.connect(handshakes, Tester::Peers::kShortLived, settings_.trial);
      if (!seconds) return tl::unexpected(seconds.error());
      result_.connections_per_second.push_back(static_cast<double>(handshakes.done()) / std::max(*seconds, 1e-9));
      first += handshakes.done() + handshakes.failed();
      if (first > kRoom) first = 0;
    }
    return {};
  }

  /// Connections under way at once while they are opened: fewer than any port's queue holds.
  static constexpr unsigned kWindow = 256;
  static constexpr uint64_t kPatience = 20'000'000;  ///< Nanoseconds.

  Tester& tester_;
  std::span<const SizedTraffic> sizes_;
  const WireSettings& settings_;
  const WireProgress& progress_;
  WireResult result_;
  std::map<std::string, Schedule, std::less<>> schedules_;  ///< By mix; numbers that were sent keep their meaning.
  std::optional<Ledger> ledger_;
  size_t step_ = 0;
  size_t steps_ = 1;
};

}  // namespace

TrialResult Trial::result(double load, Nanoseconds duration) const {
  constexpr double kForgiven = 0.01;
  const double lost = tally.loss_ratio();
  return {load, duration, shortfall > kForgiven ? std::max(lost, shortfall) : lost, tally.leaked != 0};
}

uint64_t WireResult::leaked() const {
  uint64_t sum = 0;
  for (const MixResult& mix : mixes) sum += mix.tally.leaked;
  return sum;
}

uint64_t WireResult::wrongly_blocked() const {
  uint64_t sum = 0;
  for (const MixResult& mix : mixes) sum += mix.wrongly_blocked;
  return sum;
}

Result<WireResult> run_wire_bench(Tester& tester, std::span<const SizedTraffic> sizes, const WireSettings& settings,
                                  const WireProgress& progress) {
  return Bench(tester, sizes, settings, progress).run();
}

}  // namespace tails::fastpath::bench
