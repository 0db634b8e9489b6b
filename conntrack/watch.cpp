#include "conntrack/watch.h"

#include "conntrack/sockets.h"

namespace tails::conntrack {

namespace {
constexpr std::chrono::seconds kRefreshInterval{1};
}

Result<FlowWatch> FlowWatch::open(const ruleset::RuleSet& rules, int queue_bytes) {
  auto events = FlowEvents::open(queue_bytes);
  if (!events) return tl::unexpected(events.error());
  auto table = FlowTable::open();
  if (!table) return tl::unexpected(table.error());
  return FlowWatch(rules, std::move(*events), std::move(*table));
}

Result<void> FlowWatch::refresh() {
  const auto now = std::chrono::steady_clock::now();
  if (bench_ != nullptr && now - refreshed_ < kRefreshInterval) return {};
  auto routing = KernelRouting::read();
  if (!routing) return tl::unexpected(routing.error());
  bench_ = std::make_unique<Bench>(std::move(*routing), *rules_);
  refreshed_ = now;
  return {};
}

Result<void> FlowWatch::look(std::chrono::milliseconds patience, const OnSight& on_sight) {
  auto news = events_.wait(patience);
  if (!news) return tl::unexpected(news.error());
  if (news->events.empty() && !news->is_incomplete) return {};
  if (const auto refreshed = refresh(); !refreshed) return refreshed;
  const auto sockets = SocketTable::read();
  if (!sockets) return tl::unexpected(sockets.error());

  for (const FlowEvent& event : news->events) {
    if (event.kind == FlowEvent::Kind::kEnded) {
      reported_.erase(event.flow.id);
      on_sight({Sight::Kind::kEnded, event.flow, {}});
      continue;
    }
    const Sight sight{Sight::Kind::kOpened, event.flow, bench_->judge.judge(event.flow, *sockets)};
    if (sight.is_alarm()) reported_.insert(event.flow.id);
    on_sight(sight);
  }
  return news->is_incomplete ? read_again(on_sight) : Result<void>{};
}

Result<void> FlowWatch::read_again(const OnSight& on_sight) {
  on_sight({Sight::Kind::kLost, {}, {}});
  const auto sockets = SocketTable::read();
  if (!sockets) return tl::unexpected(sockets.error());
  std::unordered_set<uint32_t> alive;
  const auto dumped = table_.for_each({}, [&](const Flow& flow) {
    const Sight sight{Sight::Kind::kStillOpen, flow, bench_->judge.judge(flow, *sockets)};
    if (!sight.is_alarm()) return;
    if (alive.insert(flow.id).second && !reported_.contains(flow.id)) on_sight(sight);
  });
  if (!dumped) return dumped;
  reported_ = std::move(alive);
  return {};
}

}  // namespace tails::conntrack
