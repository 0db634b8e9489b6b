#include "fastpath/bench/wire_bench.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
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
/// Trials at a load, of which six must agree. Where another program takes a core now and then, one trial in four or so
/// meets it; of five, three do so at one load in ten, and a search that asks ten loads then ends too low.
constexpr unsigned kTrialsToBeSure = 11;
/// From the second search on: how far from the first one's result it is looked.
constexpr double kNear = 1.5;
/// Above what the tester sent at its fastest a search need not look. A little above it must: what was measured once
/// may have been a slow moment, and a search that ends there would always say the same.
constexpr double kAboveLimit = 1.1;
/// A search's bounds are at most this far apart. The loads of all searches lie on one grid with such steps, so that
/// trials of several can be put together.
constexpr double kWidth = 0.01;
/// A trial that went badly while another program had a core says nothing of the filter: so often it is made again. Then
/// it counts: what interrupts every trial may be the load's own, a driver's work in the kernel.
constexpr unsigned kMostRepeats = 10;
/// Connections are set up for at least so long: what is lost is waited for, and that must not be all of the time.
constexpr Nanoseconds kLeastConnecting = std::chrono::milliseconds(100);

double on_grid(double load) { return std::pow(1 + kWidth, std::floor(std::log(load) / std::log1p(kWidth) + 1e-9)); }

class Bench {
 public:
  Bench(Tester& tester, std::span<const SizedTraffic> sizes, const WireSettings& settings, const WireProgress& progress)
      : tester_(tester), sizes_(sizes), settings_(settings), progress_(progress) {}

  Result<WireResult> run() {
    const std::vector<Mix> all = mixes(settings_.leak_percent);
    const size_t mixes = settings_.searches ? all.size() : 1;
    const size_t latencies = settings_.searches ? std::size(kLatencyPercents) : 0;
    steps_ = 2 + (mixes + 1 + latencies) * settings_.trials;
    if (auto done = open(); !done) return tl::unexpected(done.error());
    if (auto done = hold(); !done) return tl::unexpected(done.error());
    if (settings_.searches) {
      if (auto done = search_all(all); !done) return tl::unexpected(done.error());
      if (auto done = this->latencies(all.front()); !done) return tl::unexpected(done.error());
    } else {
      if (auto done = measure(all.front()); !done) return tl::unexpected(done.error());
      for (unsigned i = 0; i < settings_.trials; ++i) {
        if (auto done = connection_rate(); !done) return tl::unexpected(done.error());
      }
    }
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

  /// What the tester can send at all of this mix, frames a second.
  Result<double> find_limit(const Mix& mix) {
    constexpr double kAnyMore = 200e6;
    const Schedule& what = follow(mix);
    double sent = 0;
    for (unsigned repeats = 0; repeats <= kMostRepeats; ++repeats) {
      const auto trial = tester_.trial(what, *ledger_, settings_.load > 0 ? settings_.load : kAnyMore,
                                       std::min<Nanoseconds>(settings_.trial, std::chrono::milliseconds(50)));
      if (!trial) return tl::unexpected(trial.error());
      sent = std::max(sent, static_cast<double>(trial->tally.sent) / std::max(trial->seconds, 1e-6));
      if (trial->interruptions == 0) break;
    }
    result_.tester_limit.push_back(settings_.load > 0 ? std::min(sent, settings_.load) : sent);
    return result_.tester_limit.back();
  }

  Result<Trial> trial(const Schedule& what, double load, MixResult& mix) {
    for (unsigned repeats = 0;; ++repeats) {
      auto trial = tester_.trial(what, *ledger_, load, settings_.trial);
      if (!trial) return trial;
      // Whatever comes of it, what it saw is told.
      mix.tally.add(trial->tally);
      mix.wrongly_blocked += trial->wrongly_blocked;
      ++mix.trials;
      ++result_.trials;
      const TrialResult result = trial->result(load, settings_.trial);
      const bool may_repeat = settings_.searches && repeats < kMostRepeats && trial->interruptions != 0;
      if (!may_repeat || result.leaked || result.loss_ratio == 0) return trial;
      ++result_.repeated;
    }
  }

  Result<void> measure(const Mix& mix) {
    MixResult& found = result_.mixes.emplace_back();
    found.name = mix.name;
    const auto limit = find_limit(mix);
    if (!limit) return tl::unexpected(limit.error());
    const Schedule& what = follow(mix);
    LatencyResult& latency = result_.latencies.emplace_back();
    latency.percent = 100;
    latency.load = *limit;
    std::vector<double> losses;
    for (unsigned i = 0; i < settings_.trials; ++i) {
      step(mix.name);
      const auto done = trial(what, *limit, found);
      if (!done) return tl::unexpected(done.error());
      const double rate = static_cast<double>(done->tally.sent) / std::max(done->seconds, 1e-6);
      losses.push_back(done->result(rate, settings_.trial).loss_ratio);
      found.ndr.push_back(rate * (1 - losses.back()));
      add(latency, *done);
    }
    found.points.push_back({*limit, Spread::of(losses).median, found.tally.leaked, settings_.trials});
    return {};
  }

  /// What the searches for one mix know together.
  struct Search {
    explicit Search(const Mix& of) : mix(&of) { found.name = of.name; }
    const Mix* mix;
    MixResult found;
    double last = 0;                               ///< Lower bound of the one before.
    std::map<uint64_t, std::vector<double>> loss;  ///< By load, of every trial.
    std::map<uint64_t, uint64_t> leaked;
    unsigned limits[2] = {}, nones[2] = {}, undecided[2] = {};  ///< How many ended so, of each goal.
  };

  /// One search for each mix in turn, and again from the first: a slow moment of the machine meets all alike, and the
  /// results of one mix lie far enough apart in time that their spread is that of the machine.
  Result<void> search_all(const std::vector<Mix>& all) {
    std::vector<Search> searches(all.begin(), all.end());
    for (unsigned i = 0; i < settings_.trials; ++i) {
      for (Search& one : searches) {
        if (auto done = search(one); !done) return done;
      }
      if (auto done = connection_rate(); !done) return done;
    }
    for (Search& one : searches) {
      for (const auto& [load, losses] : one.loss) {
        one.found.points.push_back({static_cast<double>(load), Spread::of(losses).median, one.leaked[load],
                                    static_cast<unsigned>(losses.size())});
      }
      one.found.ndr_remark = remark(one, 0);
      one.found.pdr_remark = remark(one, 1);
      one.found.converged = one.undecided[0] + one.undecided[1] == 0;
      result_.mixes.push_back(std::move(one.found));
    }
    return {};
  }

  Result<void> search(Search& search) {
    step(search.mix->name);
    const auto limit = find_limit(*search.mix);
    if (!limit) return tl::unexpected(limit.error());
    search.found.limit.push_back(*limit);
    const Schedule& what = follow(*search.mix);
    const auto measure = [&](double load, Nanoseconds duration) -> Result<TrialResult> {
      const auto done = trial(what, load, search.found);
      if (!done) return tl::unexpected(done.error());
      const TrialResult result = done->result(load, duration);
      const auto place = static_cast<uint64_t>(std::llround(load));
      search.loss[place].push_back(result.loss_ratio);
      search.leaked[place] += done->tally.leaked;
      return result;
    };
    const Nanoseconds sure = settings_.trial * kTrialsToBeSure;
    double most = on_grid(std::ranges::max(search.found.limit) * kAboveLimit);
    if (settings_.load > 0) most = std::min(most, on_grid(settings_.load));
    RateSearch::Settings wide{.least = on_grid(most / 1000), .most = most, .goals = {}};
    wide.goals = {
        {.name = "ndr", .trial = settings_.trial, .duration_sum = sure, .loss_ratio = 0, .width = kWidth},
        {.name = "pdr", .trial = settings_.trial, .duration_sum = sure, .loss_ratio = 0.005, .width = kWidth}};
    wide.most_trials = 1000;
    RateSearch::Settings now = wide;
    if (search.last > 0) {
      now.least = std::max(wide.least, on_grid(search.last / kNear));
      now.most = std::min(most, on_grid(search.last * kNear));
    }
    auto results = RateSearch(now).run(measure);
    if (!results) return tl::unexpected(results.error());
    // Where it is not near the last one, it is looked for everywhere.
    if (search.last > 0 && (results->front().kind == GoalResult::Kind::kNone ||
                            (results->front().kind == GoalResult::Kind::kAtLeast && now.most < most))) {
      results = RateSearch(wide).run(measure);
      if (!results) return tl::unexpected(results.error());
    }
    for (size_t goal = 0; goal < 2; ++goal) {
      const GoalResult& result = results->at(goal);
      using Kind = GoalResult::Kind;
      const bool is_limit = result.kind == Kind::kAtLeast || (result.kind == Kind::kRegular && result.is_testers_limit);
      search.limits[goal] += is_limit ? 1 : 0;
      search.nones[goal] += result.kind == Kind::kNone ? 1 : 0;
      search.undecided[goal] += result.kind == Kind::kUndecided ? 1 : 0;
      (goal == 0 ? search.found.ndr : search.found.pdr).push_back(result.throughput);
    }
    search.last = results->front().lower.value_or(0);
    return {};
  }

  /// What is to be said beside a rate.
  [[nodiscard]] std::string remark(const Search& search, size_t goal) const {
    const auto in_some = [&](unsigned count) {
      return count == settings_.trials
                 ? std::string()
                 : " in " + std::to_string(count) + " of " + std::to_string(settings_.trials) + " searches";
    };
    std::vector<std::string> all;
    if (const unsigned count = search.nones[goal]; count != 0) {
      all.push_back("not even the lowest rate that was tried is met" + in_some(count));
    }
    if (const unsigned count = search.undecided[goal]; count != 0) {
      all.push_back("bounds further apart than asked" + in_some(count));
    }
    if (const unsigned count = search.limits[goal]; count != 0) {
      all.push_back("the tester's own limit" + in_some(count) + ": the filter takes at least this");
    }
    std::string text;
    for (const std::string& one : all) text += (text.empty() ? "" : "; ") + one;
    return text;
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
    constexpr uint32_t kRoom = 1U << 24;
    step("setting up connections");
    Handshakes handshakes({.first = short_lived_,
                           .count = kRoom,
                           .window = kWindow,
                           .until = Handshakes::Step::kReset,
                           .patience = kPatience});
    const auto seconds =
        tester_.connect(handshakes, Tester::Peers::kShortLived, std::max(settings_.trial, kLeastConnecting));
    if (!seconds) return tl::unexpected(seconds.error());
    result_.connections_per_second.push_back(static_cast<double>(handshakes.done()) / std::max(*seconds, 1e-9));
    short_lived_ += handshakes.done() + handshakes.failed();
    if (short_lived_ > kRoom) short_lived_ = 0;
    return {};
  }

  /// Connections under way at once: fewer frames than any port's queue holds.
  static constexpr unsigned kWindow = 256;
  static constexpr uint64_t kPatience = 20'000'000;  ///< Nanoseconds.

  Tester& tester_;
  std::span<const SizedTraffic> sizes_;
  const WireSettings& settings_;
  const WireProgress& progress_;
  WireResult result_;
  std::map<std::string, Schedule, std::less<>> schedules_;  ///< By mix; numbers that were sent keep their meaning.
  std::optional<Ledger> ledger_;
  uint32_t short_lived_ = 0;  ///< The next of the connections that are closed at once.
  size_t step_ = 0;
  size_t steps_ = 1;
};

}  // namespace

TrialResult Trial::result(double load, Nanoseconds duration) const {
  constexpr double kForgiven = 0.01;
  const double lost = tally.loss_ratio();
  const bool was_slow = shortfall > kForgiven;
  return {load, duration, was_slow ? std::max(lost, shortfall) : lost, tally.leaked != 0, was_slow};
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
