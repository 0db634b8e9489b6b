#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/accounts.h"
#include "cli/blocked_summary.h"
#include "cli/blocked_table.h"
#include "cli/commands.h"
#include "cli/confinement.h"
#include "cli/decision.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "cli/packet_words.h"
#include "cli/watching.h"
#include "confine/confine.h"
#include "host/blocked_log.h"
#include "host/program_finder.h"
#include "host/program_names.h"
#include "policy/system_environment.h"
#include "ruleset/evaluator.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr std::array kWatchOptions{
    OptionSpec{.name = "--summary", .help = "Who tried what how often: on a terminal a table that updates in place"},
    kForOption,
};

/// The packet as the filter met it. Its state is not in the log; a blocked packet mostly opens a flow.
Packet packet_of(const host::BlockedPacket& blocked) {
  Packet packet;
  packet.protocol = blocked.protocol;
  packet.source = blocked.source.address;
  packet.destination = blocked.destination.address;
  packet.source_port = blocked.source.port;
  packet.destination_port = blocked.destination.port;
  packet.tcp_flags = blocked.tcp_flags;
  packet.icmp_type = blocked.icmp_type;
  packet.out = blocked.out;
  packet.uid = blocked.uid;
  if (blocked.uid) packet.gid = Gid{blocked.uid->value};
  return packet;
}

/// "[lan] closed (tails.toml:33)".
struct Entry {
  std::string name;
  std::string origin;
};

class Watcher {
 public:
  Watcher(const Invocation& invocation, const Operand& policy, UserNames names, host::ProgramNames& programs)
      : invocation_(invocation),
        rules_(policy.rules),
        evaluator_(policy.rules),
        names_(std::move(names)),
        wants_summary_(invocation.arguments.has("--summary")),
        is_live_(wants_summary_ && !invocation.global.json && ::isatty(STDOUT_FILENO) == 1),
        finder_([&programs](Uid user, uint8_t number, Port port) { return programs.find(user, number, port); }) {}

  void see(const host::BlockedPacket& blocked) {
    if (!wants_summary_) {
      tell(blocked);
      return;
    }
    BlockedSummary::Row* row = summary_.count(blocked);
    if (row == nullptr) return;
    if (row->count == 1) {
      const Entry& entry = entry_of(blocked);
      row->entry = entry.name;
      row->origin = entry.origin;
    }
    if (!row->program.empty()) return;
    if (const auto program = program_of(blocked)) row->program = program->name;
  }

  /// Lines that wait are written; the screen is drawn anew at most four times a second; losses are told once each.
  void pause(const host::BlockedLog::Losses& losses) {
    if (!pending_.empty()) {
      print(pending_);
      pending_.clear();
    }
    if (losses.counted > lost_.counted && !wants_summary_) {
      tell_lost(losses.counted - lost_.counted, losses.counted);
    }
    // Mostly the next packet tells how many; where none comes, that something is lost is said all the same.
    if (losses.has_uncounted && lost_.has_uncounted) tell_uncounted();
    if (!losses.has_uncounted) is_uncounted_told_ = false;
    lost_ = losses;
    constexpr std::chrono::milliseconds kQuiet{250};
    if (is_live_ && Clock::now() - drawn_ >= kQuiet) draw();
  }

  void end() {
    if (lost_.has_uncounted) tell_uncounted();
    if (is_live_) {
      draw(true);
    } else if (wants_summary_) {
      print(invocation_.global.json ? summary_json() : summary_text(kAllRows, invocation_.out));
    }
  }

 private:
  static constexpr size_t kAllRows = 200;

  /// Remembered: at thousands of packets a second the evaluator would be what makes us lose some.
  const Entry& entry_of(const host::BlockedPacket& blocked) {
    const BlockedSummary::Key key{blocked.uid, blocked.protocol, blocked.destination, blocked.out};
    if (const auto known = entries_.find(key); known != entries_.end()) return known->second;
    if (entries_.size() >= BlockedSummary::kMostKeys) entries_.clear();
    return entries_[key] = find_entry(blocked);
  }

  Entry find_entry(const host::BlockedPacket& blocked) const {
    const ruleset::Evaluation evaluation = evaluator_.explain(packet_of(blocked));
    if (evaluation.verdict == Verdict::kAccept) {
      return {"the policy would let it pass as a new flow: its state, or rules that are not the policy's", {}};
    }
    const ruleset::Origin* origin = rules_.origin(deciding_origin(evaluation));
    if (origin == nullptr) return {"default", {}};
    return {origin->entry.empty() ? "default" : origin->entry.str(), to_string(*origin)};
  }

  std::optional<host::Program> program_of(const host::BlockedPacket& blocked) {
    return blocked.uid ? finder_.find(*blocked.uid, blocked.protocol, blocked.source) : std::nullopt;
  }

  std::string user_of(const std::optional<Uid>& uid) const {
    if (!uid) return "the kernel";
    return names_(*uid).value_or(fmt::format("user {}", uid->value));
  }

  // ---- Line by line ----

  void tell(const host::BlockedPacket& blocked) {
    const Entry& entry = entry_of(blocked);
    const auto program = program_of(blocked);
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    const auto milliseconds = static_cast<long>(now.tv_nsec / 1'000'000);
    std::tm time{};
    if (invocation_.global.json) {
      ::gmtime_r(&now.tv_sec, &time);
      const Json json{
          {"event", "blocked"},
          {"time", fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", time.tm_year + 1900, time.tm_mon + 1,
                               time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec, milliseconds)},
          {"user", blocked.uid ? Json(user_of(blocked.uid)) : Json(nullptr)},
          {"uid", blocked.uid ? Json(blocked.uid->value) : Json(nullptr)},
          {"program", program ? Json(program->name) : Json(nullptr)},
          {"pid", program ? Json(program->pid) : Json(nullptr)},
          {"proto", protocol_text(blocked.protocol)},
          {"src", to_string(blocked.source.address)},
          {"sport", blocked.source.port},
          {"dst", to_string(blocked.destination.address)},
          {"dport", blocked.destination.port},
          {"out", blocked.out.view()},
          {"entry", entry.name},
          {"origin", entry.origin.empty() ? Json(nullptr) : Json(entry.origin)}};
      pending_ += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    } else {
      ::localtime_r(&now.tv_sec, &time);
      const Screen& screen = invocation_.out;
      pending_ += fmt::format(
          "{} {}{} to {} by {}: {}\n",
          screen.paint(Ink::kFaint,
                       fmt::format("{:02}:{:02}:{:02}.{:03}", time.tm_hour, time.tm_min, time.tm_sec, milliseconds)),
          screen.paint(Ink::kName, user_of(blocked.uid)),
          program ? fmt::format(" ({}, {})", program->name, program->pid) : "",
          screen.paint(Ink::kStrong, destination_text(blocked.protocol, blocked.destination)), blocked.out.view(),
          entry.origin.empty() ? entry.name : fmt::format("{} ({})", entry.name, entry.origin));
    }
  }

  /// `more`: empty where it is not known how many.
  void tell_lost(std::optional<uint64_t> more, uint64_t all) {
    if (invocation_.global.json) {
      print(Json({{"event", "lost"}, {"lost", more ? Json(*more) : Json(nullptr)}, {"lost_in_all", all}}).dump() +
            "\n");
    } else {
      print(invocation_.out.paint(Ink::kWarning, more ? lost_text(*more) : kMoreLost) + "\n");
    }
  }
  void tell_uncounted() {
    if (wants_summary_ || is_uncounted_told_) return;
    is_uncounted_told_ = true;
    tell_lost(std::nullopt, lost_.counted);
  }
  static constexpr const char* kMoreLost =
      "the last messages of the kernel came faster than they could be read and are lost; how many is not known yet";
  static std::string lost_text(uint64_t lost) {
    return fmt::format("{} message{} of the kernel came faster than they could be read and are lost", lost,
                       lost == 1 ? "" : "s");
  }

  // ---- The summary ----

  /// The most frequent on so many lines, and what is to be said of all.
  std::string summary_text(size_t most_lines, const Screen& screen) const {
    std::string text;
    if (summary_.without_row() > 0) {
      text += screen.wrap(fmt::format("{} packets of {} users went to still other places, and have no row of their own",
                                      summary_.without_row(), summary_.without_row_by_user().size())) +
              "\n";
    }
    if (lost_.counted > 0) text += paint_lines(screen, screen.wrap(lost_text(lost_.counted)));
    if (lost_.has_uncounted) text += paint_lines(screen, screen.wrap(kMoreLost));
    text += fmt::format("{} blocked\n", summary_.all());
    // The heading, and how many more there are.
    const size_t others = lines_of(text) + 2;
    const auto rows = summary_.top(most_lines > others ? most_lines - others : 1);
    std::string table = blocked_table(
        rows, [this](const auto& uid) { return user_of(uid); }, screen);
    if (summary_.rows() > rows.size()) table += fmt::format("... and {} more rows\n", summary_.rows() - rows.size());
    return table + text;
  }
  /// A terminal's colours end at the end of its line.
  static std::string paint_lines(const Screen& screen, const std::string& text) {
    std::string painted;
    for (size_t start = 0; start <= text.size();) {
      const size_t end = std::min(text.find('\n', start), text.size());
      painted += screen.paint(Ink::kWarning, text.substr(start, end - start)) + '\n';
      start = end + 1;
    }
    return painted;
  }
  static size_t lines_of(const std::string& text) { return static_cast<size_t>(std::ranges::count(text, '\n')); }

  std::string summary_json() const {
    Json rows = Json::array();
    for (const BlockedSummary::Row& row : summary_.top(BlockedSummary::kMostKeys)) {
      rows.push_back({{"times", row.count},
                      {"user", row.key.user ? Json(user_of(row.key.user)) : Json(nullptr)},
                      {"uid", row.key.user ? Json(row.key.user->value) : Json(nullptr)},
                      {"program", row.program.empty() ? Json(nullptr) : Json(row.program)},
                      {"proto", protocol_text(row.key.protocol)},
                      {"dst", to_string(row.key.destination.address)},
                      {"dport", row.key.destination.port},
                      {"out", row.key.out.view()},
                      {"entry", row.entry},
                      {"origin", row.origin.empty() ? Json(nullptr) : Json(row.origin)}});
    }
    const Json json{{"blocked", summary_.all()},
                    {"lost", lost_.counted},
                    {"more_lost", lost_.has_uncounted},
                    {"without_row", summary_.without_row()},
                    {"rows", std::move(rows)}};
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  }

  /// Over what was drawn before, line by line: nothing flickers, nothing scrolls. `is_last`: as many rows as there are,
  /// to stay.
  void draw(bool is_last = false) {
    drawn_ = Clock::now();
    winsize size{};
    const bool is_known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 && size.ws_col > 0;
    if (!is_known) size = {24, 80, 0, 0};
    const Screen screen(invocation_.out.has_colour(), size.ws_col);
    const std::string text = summary_text(is_last ? kAllRows : size.ws_row - 1U, screen);
    std::string out;
    if (lines_drawn_ > 0) {
      // Where the terminal was made smaller, what was drawn is no longer where it was.
      const bool is_as_before = size.ws_col == size_drawn_.ws_col && size.ws_row == size_drawn_.ws_row;
      out = is_as_before ? fmt::format("\033[{}A\r", lines_drawn_) : "\033[H";
    }
    for (const char c : text) out += c == '\n' ? "\033[K\n" : std::string(1, c);
    print(out + "\033[J");
    lines_drawn_ = lines_of(text);
    size_drawn_ = size;
  }

  const Invocation& invocation_;
  const ruleset::RuleSet& rules_;
  ruleset::Evaluator evaluator_;
  UserNames names_;
  bool wants_summary_;
  bool is_live_;
  host::ProgramFinder finder_;
  std::map<BlockedSummary::Key, Entry> entries_;
  BlockedSummary summary_;
  std::string pending_;
  host::BlockedLog::Losses lost_;
  bool is_uncounted_told_ = false;
  Clock::time_point drawn_{};
  size_t lines_drawn_ = 0;
  winsize size_drawn_{};
};

Result<std::unique_ptr<host::BlockedLog>> open_log(const policy::Blocked& blocked) {
  using LogTo = policy::Blocked::LogTo;
  switch (blocked.log) {
    case LogTo::kKernel: return host::open_kernel_log(blocked.prefix);
    case LogTo::kNflog: return host::open_nflog(blocked.nflog_group);
    case LogTo::kNone: break;
  }
  return fail(ErrorKind::kUsage, "this policy does not log what it blocks ([blocked] log = \"none\")",
              "With log = \"kernel\" or \"nflog:5\" there is something to watch.");
}

Result<ExitStatus> run_watch(const Invocation& invocation) {
  const auto watching = Watching::begin(invocation);
  if (!watching) return tl::unexpected(watching.error());
  // Whose socket it is only who may look into all processes can tell. That is another process, which has no network.
  auto programs = host::ProgramNames::start([] { return become_row("watch, naming programs"); });
  if (!programs) return tl::unexpected(programs.error());
  const policy::SystemEnvironment environment;
  const auto policy = load_policy_in_charge(invocation.global, environment);
  if (!policy) return tl::unexpected(policy.error());
  const policy::Blocked& blocked = policy->policy->blocked;
  auto source = open_log(blocked);
  if (!source) return tl::unexpected(source.error());
  if (const auto settled = confine::settle(); !settled) return tl::unexpected(settled.error());
  if (blocked.log_limit) log::notice("the policy limits how much is logged: more is blocked than is seen here");

  Watcher watcher(invocation, *policy, user_names(invocation.global, policy->accounts, environment), *programs);
  while (watching->goes_on()) {
    const auto read =
        (*source)->read(Watching::kPatience, [&](const host::BlockedPacket& packet) { watcher.see(packet); });
    if (!read) return tl::unexpected(read.error());
    watcher.pause((*source)->losses());
  }
  watcher.end();
  return ExitStatus::kDone;
}

}  // namespace

constinit const Command kWatch{
    .name = "watch",
    .group = Group::kInspect,
    .summary = "Watch what is blocked, as it happens",
    .description =
        "Shows each packet that the filter blocks and logs: when, which user, which program as far as /proc still "
        "knows "
        "it, where to, and the entry of the policy that says so. Reads the kernel's messages or an NFLOG group, "
        "wherever the policy logs to. Messages that the kernel had to drop because they came too fast are counted and "
        "told. With --json, one document per line; with --json --summary, one at the end.",
    .options = kWatchOptions,
    .example = "sudo tails-iptc watch\nsudo tails-iptc watch --summary --for 60",
    .run = run_watch,
};

}  // namespace tails::cli
