#include "conntrack/removal.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "conntrack/judge.h"
#include "conntrack/routing.h"
#include "conntrack/sockets.h"
#include "conntrack/table.h"

namespace tails::conntrack {
namespace {

// 13 MiB. Larger batches mean fewer readings of the socket list.
constexpr size_t kMaxPending = 65536;

// Asking conntrack for the flow of each socket is cheaper than a dump up to about this many.
constexpr size_t kMaxSocketsToAsk = 20000;

bool ends_cut_off_sockets(const Selection& selection) {
  return selection.revoked && selection.filter.is_any() && !selection.user;
}

class Removal {
 public:
  Removal(const Selection& selection, bool is_table_empty, const ruleset::RuleSet& rules, FlowTable reader,
          FlowTable remover, KernelRouting routing, SocketDestroyer destroyer)
      : selection_(selection),
        is_table_empty_(is_table_empty),
        reader_(std::move(reader)),
        remover_(std::move(remover)),
        routing_(std::move(routing)),
        destroyer_(std::move(destroyer)),
        judge_(rules, routing_) {}

  Result<RemovalReport> run() {
    if (const auto flows = remove(); !flows) return tl::unexpected(flows.error());
    if (ends_cut_off_sockets(selection_)) {
      if (const auto ended = end_cut_off_sockets(); !ended) return tl::unexpected(ended.error());
    }
    return report_;
  }

 private:
  Result<void> remove() {
    if (is_table_empty_) return {};
    if (const auto read = read_sockets(); !read) return read;
    if (!judges()) {
      const auto flushed = flush();
      if (!flushed) return tl::unexpected(flushed.error());
      if (*flushed) return {};
    }
    std::optional<Error> failure;
    const auto dumped = reader_.for_each(
        selection_.filter,
        [&](const Flow& flow) {
          if (failure) return;
          ++report_.seen;
          if (!is_selected(flow)) return;
          pending_.push_back(flow);
          if (pending_.size() < kMaxPending) return;
          if (const auto drained = drain(); !drained) failure = drained.error();
        },
        [&] { report_.seen = 0; });
    if (!dumped) return tl::unexpected(dumped.error());
    if (failure) return tl::unexpected(*failure);
    return drain();
  }

  [[nodiscard]] bool judges() const { return selection_.revoked || selection_.dead || selection_.user.has_value(); }

  Result<void> read_sockets() {
    auto sockets = SocketTable::read();
    if (!sockets) return tl::unexpected(sockets.error());
    sockets_ = std::move(*sockets);
    report_.owners_known = sockets_.is_complete();
    return {};
  }

  bool is_selected(const Flow& flow) {
    if (!judges()) return true;
    const Opinion opinion = judge_.judge(flow, sockets_);
    if (selection_.user && opinion.owner != selection_.user) return false;
    if (!selection_.revoked && !selection_.dead) return true;
    return (selection_.revoked && opinion.is_forbidden()) || (selection_.dead && opinion.is_dead);
  }

  Result<void> drain() {
    if (pending_.empty()) return {};
    if (judges()) {
      // The list may be older than the flow; its owner would then be missing, or somebody else.
      if (const auto read = read_sockets(); !read) return read;
      std::erase_if(pending_, [&](const Flow& flow) { return !is_selected(flow); });
    }
    for (const Flow& flow : pending_) end_sockets(flow, protocol::kUdp);
    const auto removed = remover_.remove(pending_);
    if (!removed) return tl::unexpected(removed.error());
    report_.removed += removed->flows;
    report_.gone += removed->gone;
    for (const Flow& flow : pending_) end_sockets(flow, protocol::kTcp);
    pending_.clear();
    return {};
  }

  void end_sockets(const Flow& flow, uint8_t protocol) {
    if (flow.original.protocol != protocol) return;
    ends_.clear();
    sockets_.connected(flow.original, ends_);
    sockets_.connected(flow.reply, ends_);
    for (const Socket* socket : ends_) end(*socket);
  }

  void end(const Socket& socket) {
    switch (destroyer_.destroy(socket)) {
      case SocketDestroyer::Outcome::kDestroyed: ++report_.sockets_ended; break;
      case SocketDestroyer::Outcome::kGone: break;
      case SocketDestroyer::Outcome::kUnsupported:
      case SocketDestroyer::Outcome::kRefused: ++report_.sockets_left; break;
    }
  }

  // The kernel selects and deletes. It tells nothing of what it deleted, so the flows that have a socket here are
  // found first, from the sockets' side. True: done; false: this takes a dump.
  Result<bool> flush() {
    if (sockets_.all().size() > kMaxSocketsToAsk || !flush_request(selection_.filter)) return false;
    for (const Socket& socket : sockets_.all()) {
      if (!socket.is_connected()) continue;
      const auto flow = reader_.find({socket.protocol, socket.local, socket.remote, 0, 0, 0});
      if (!flow) return tl::unexpected(flow.error());
      if (*flow && selection_.filter.matches(**flow)) pending_.push_back(**flow);
    }
    for (const Flow& flow : pending_) end_sockets(flow, protocol::kUdp);
    const auto flushed = remover_.flush(selection_.filter);
    if (!flushed) return tl::unexpected(flushed.error());
    if (!*flushed) {
      pending_.clear();
      return false;
    }
    report_.removed = (*flushed)->flows;
    for (const Flow& flow : pending_) end_sockets(flow, protocol::kTcp);
    return true;
  }

  // TCP sockets that a program holds, that can send nothing any more, and that the kernel has no flow for: left by
  // a removal that was killed half-way, or by a foreign flush.
  Result<void> end_cut_off_sockets() {
    if (report_.sockets_left > 0) return {};  // This kernel ends none, and those of our own flows are counted.
    if (const auto read = read_sockets(); !read) return read;
    for (const Socket& socket : sockets_.all()) {
      const bool is_open = socket.state == TCP_ESTABLISHED || socket.state == TCP_CLOSE_WAIT;
      if (socket.protocol != protocol::kTcp || !is_open || !socket.is_held || !judge_.is_cut_off(socket)) continue;
      const auto flow = reader_.find({socket.protocol, socket.local, socket.remote, 0, 0, 0});
      if (!flow) return tl::unexpected(flow.error());
      if (!*flow) end(socket);
    }
    return {};
  }

  const Selection& selection_;
  bool is_table_empty_;
  FlowTable reader_;
  FlowTable remover_;
  KernelRouting routing_;
  SocketDestroyer destroyer_;
  Judge judge_;
  SocketTable sockets_;
  std::vector<Flow> pending_;
  std::vector<const Socket*> ends_;
  RemovalReport report_;
};

constexpr std::string_view kUntouched = "No flow was removed.";

/// The error with the state that is left behind.
tl::unexpected<Error> stated(Error error, std::string_view state) {
  if (!error.remedy.empty()) error.remedy += ' ';
  error.remedy += state;
  return tl::unexpected(std::move(error));
}

}  // namespace

Result<RemovalReport> remove_flows(const Selection& selection, const RulesInForce& rules) {
  auto reader = FlowTable::open();
  if (!reader) return stated(reader.error(), kUntouched);
  // A dump looks at every bucket, and so does a list of sockets: milliseconds that an idle machine need not cost.
  const auto count = reader->count();
  if (!count) return stated(count.error(), kUntouched);
  const bool is_table_empty = *count == 0;
  if (is_table_empty && !(ends_cut_off_sockets(selection) && may_have_tcp_sockets())) return RemovalReport{};
  auto remover = FlowTable::open();
  if (!remover) return stated(remover.error(), kUntouched);
  auto routing = KernelRouting::read();
  if (!routing) return stated(routing.error(), kUntouched);
  auto destroyer = SocketDestroyer::open();
  if (!destroyer) return stated(destroyer.error(), kUntouched);
  const ruleset::RuleSet in_force = selection.revoked ? rules() : ruleset::RuleSet();
  Removal removal(selection, is_table_empty, in_force, std::move(*reader), std::move(*remover), std::move(*routing),
                  std::move(*destroyer));
  auto report = removal.run();
  if (!report) return stated(report.error(), "Flows that were not reached yet are still there.");
  return report;
}

}  // namespace tails::conntrack
