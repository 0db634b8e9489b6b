#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>

#include "cli/accounts.h"
#include "cli/commands.h"
#include "cli/flow_options.h"
#include "cli/flow_words.h"
#include "cli/live_system.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "conntrack/judge.h"
#include "conntrack/routing.h"
#include "conntrack/sockets.h"
#include "conntrack/table.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using conntrack::Flow;
using conntrack::Judgement;
using conntrack::Opinion;

constexpr std::array kConntrackListOptions{
    kUserOption,
    kToOption,
    kFromOption,
    kProtocolOption,
    kMarkOption,
    kZoneOption,
    OptionSpec{.name = "--dead-source", .help = "Only flows of addresses that this machine no longer has"},
    OptionSpec{.name = "--judgement", .help = "Only flows judged so", .choices = "allowed|revoked|unknown"},
};

/// Prints flows as they come: a table may have a million.
class Listing {
 public:
  Listing(const Invocation& invocation, UserNames names) : invocation_(invocation), names_(std::move(names)) {
    if (invocation_.global.json) text_ = "{\"flows\":[";
  }

  void add(const Flow& flow, const Opinion& opinion) {
    // A dump that was interrupted starts over.
    if (std::binary_search(listed_.begin(), listed_.begin() + sorted_, flow.id)) return;
    listed_.push_back(flow.id);
    if (invocation_.global.json) {
      text_ += listed_.size() == 1 ? "\n" : ",\n";
      text_ += flow_json(flow, opinion);
    } else {
      text_ += line(flow, opinion);
    }
    constexpr size_t kEnough = 1 << 16;
    if (text_.size() >= kEnough) flush();
  }
  void repeat() {
    std::ranges::sort(listed_);
    sorted_ = static_cast<std::ptrdiff_t>(listed_.size());
  }
  void end() {
    if (invocation_.global.json) text_ += listed_.empty() ? "]}\n" : "\n]}\n";
    flush();
  }

 private:
  std::string line(const Flow& flow, const Opinion& opinion) const {
    const Screen& screen = invocation_.out;
    std::string owner = "-";
    if (opinion.owner) owner = names_(*opinion.owner).value_or(std::to_string(opinion.owner->value));
    const Ink ink = opinion.judgement == Judgement::kAllowed   ? Ink::kGood
                    : opinion.judgement == Judgement::kRevoked ? Ink::kBad
                                                               : Ink::kWarning;
    return fmt::format("{} {:<12} {}{}\n", screen.paint(ink, to_string(opinion.judgement)), owner, flow_text(flow),
                       opinion.is_dead ? "  dead" : "");
  }
  void flush() {
    print(text_);
    text_.clear();
  }

  const Invocation& invocation_;
  UserNames names_;
  std::vector<uint32_t> listed_;  ///< Identities: four bytes for each flow.
  std::ptrdiff_t sorted_ = 0;     ///< So many of them, from the front, are of dumps that were interrupted.
  std::string text_;
};

Result<ExitStatus> run_conntrack_list(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const auto filter = flow_filter(invocation.arguments);
  if (!filter) return tl::unexpected(filter.error());
  const auto user = flow_user(invocation, environment);
  if (!user) return tl::unexpected(user.error());
  const auto judgement = invocation.arguments.value("--judgement");
  const bool only_dead = invocation.arguments.has("--dead-source");

  auto table = conntrack::FlowTable::open();
  if (!table) return tl::unexpected(table.error());
  const auto live = iptc::read_live(LiveSystem().get());
  if (!live) return tl::unexpected(live.error());
  const auto routing = conntrack::KernelRouting::read();
  if (!routing) return tl::unexpected(routing.error());
  const auto sockets = conntrack::SocketTable::read();
  if (!sockets) return tl::unexpected(sockets.error());
  if (!sockets->is_complete()) log::warning("this kernel does not list all sockets, so some owners are unknown");

  conntrack::Judge judge(live->rules, *routing);
  Listing listing(invocation,
                  user_names(invocation.global, accounts_in_charge(invocation.global, environment), environment));
  const auto listed = table->for_each(
      *filter,
      [&](const Flow& flow) {
        const Opinion opinion = judge.judge(flow, *sockets);
        if (*user && opinion.owner != *user) return;
        if (judgement && to_string(opinion.judgement) != *judgement) return;
        if (only_dead && !opinion.is_dead) return;
        listing.add(flow, opinion);
      },
      [&] { listing.repeat(); });
  listing.end();
  if (!listed) return tl::unexpected(listed.error());
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kConntrackList{
    .name = "conntrack list",
    .group = Group::kInspect,
    .summary = "List live flows with owner and judgement",
    .description =
        "Lists the flows that the kernel tracks, with the user who opened each and what the rules in force would say "
        "if it were opened now: \"allowed\", \"revoked\", or \"unknown\" where that depends on an owner that nobody "
        "knows or on a rule that cannot be read. In brackets stands where NAT sends a flow.",
    .options = kConntrackListOptions,
    .example =
        "sudo tails-iptc conntrack list --judgement revoked\n"
        "sudo tails-iptc --json conntrack list --user amnesia --to 127.0.0.1",
    .run = run_conntrack_list,
};

}  // namespace tails::cli
