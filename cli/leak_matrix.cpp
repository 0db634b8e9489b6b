#include "cli/leak_matrix.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <system_error>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/live_system.h"
#include "cli/text_table.h"
#include "conntrack/table.h"
#include "policy/lower.h"

namespace tails::cli {
namespace {

using leaktest::Judgement;
using leaktest::Matrix;
using leaktest::Outcome;

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

/// A folder of our own for the transaction's lock and record, which are of the throw-away machine: gone with this.
class PrivateFolder {
 public:
  PrivateFolder() {
    std::string pattern = "/tmp/tails-iptc-leaktest.XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;
  ~PrivateFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Result<void> enforce(const ruleset::RuleSet& rules, const std::string& folder) {
  const LiveSystem system;
  iptc::Options options;
  options.policy = "leaktest";
  options.lock_path = folder + "/xtables.lock";
  options.run_directory = folder + "/run";
  const auto outcome = iptc::commit(system.get(), rules, options);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->failure) return tl::unexpected(*outcome->failure);
  // The next namespace's tables are not this one's.
  std::error_code ignored;
  std::filesystem::remove_all(folder + "/run", ignored);
  // Flows of a run before this one.
  auto flows = conntrack::FlowTable::open();
  if (!flows) return tl::unexpected(flows.error());
  if (auto flushed = flows->flush({}); !flushed) return tl::unexpected(flushed.error());
  return {};
}

/// One line on the terminal, written over again and again, and gone at the end.
class ProgressLine {
 public:
  explicit ProgressLine(const Screen* screen)
      : screen_(screen != nullptr && ::isatty(STDERR_FILENO) == 1 ? screen : nullptr) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() {
    if (screen_ != nullptr) say("\r\033[K");
  }

  void show(std::string_view what, size_t done, size_t all) {
    if (screen_ == nullptr) return;
    const auto now = std::chrono::steady_clock::now();
    constexpr std::chrono::milliseconds kOften{80};
    if (now - last_ < kOften && done != all) return;
    last_ = now;
    std::string line = fmt::format("\r\033[K{}", what);
    if (all > 0) {
      // A line that the terminal breaks could not be written over.
      constexpr unsigned kRoomy = 60;
      if (screen_->width() == 0 || screen_->width() >= kRoomy) {
        constexpr size_t kBar = 24;
        const size_t filled = kBar * std::min(done, all) / all;
        std::string bar;
        for (size_t i = 0; i < kBar; ++i) bar += i < filled ? "█" : "░";
        line += " " + screen_->paint(Ink::kName, bar);
      }
      line += fmt::format(" {} of {} ways", done, all);
    }
    say(line);
  }

 private:
  static void say(std::string_view text) { static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) == 0); }
  const Screen* screen_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace

std::vector<LeakRow> leak_rows(const Matrix& matrix) {
  std::vector<LeakRow> rows;
  for (const Outcome& outcome : matrix.outcomes) {
    auto row = std::ranges::find(rows, outcome.attempt.to, &LeakRow::to);
    if (row == rows.end()) {
      rows.push_back({outcome.attempt.to, 0, 0, 0, {}});
      row = rows.end() - 1;
    }
    ++row->attempts;
    row->leaks += outcome.judgement == Judgement::kLeak ? 1 : 0;
    row->broken += outcome.judgement == Judgement::kBroken ? 1 : 0;
    if (outcome.attempt.may_pass() && outcome.judgement == Judgement::kAsMeant) {
      add_once(row->who, outcome.attempt.user);
    }
  }
  return rows;
}

std::vector<std::string> leak_users(const Matrix& matrix) {
  std::vector<std::string> users;
  for (const Outcome& outcome : matrix.outcomes) add_once(users, outcome.attempt.user);
  return users;
}

Result<Matrix> try_leaks(const policy::Policy& policy, const ruleset::RuleSet& rules, bool is_quick,
                         const Screen* progress) {
  const PrivateFolder folder;
  if (folder.path().empty()) {
    return fail(ErrorKind::kRefused, "cannot make a folder in /tmp", "Make room in /tmp.");
  }
  ProgressLine line(progress);
  line.show("building a throw-away machine", 0, 0);
  auto test = leaktest::LeakTest::prepare(policy, is_quick);
  if (!test) return tl::unexpected(test.error());
  ruleset::Machine machine = policy::lower_machine(policy);
  machine.host = rules;
  return test->run(
      machine, [&](const ruleset::RuleSet& wanted) { return enforce(wanted, folder.path()); },
      [&](std::string_view what, size_t done, size_t all) { line.show(what, done, all); });
}

std::vector<LeakFinding> leak_findings(const Matrix& matrix) {
  std::vector<LeakFinding> findings;
  for (const Judgement kind : {Judgement::kLeak, Judgement::kBroken}) {
    std::map<std::string, size_t> known;
    for (const Outcome& outcome : matrix.outcomes) {
      if (outcome.judgement != kind) continue;
      const leaktest::Case& attempt = outcome.attempt;
      std::string what =
          fmt::format("to {}, {}: {}; expected: {}, because of {} ({})", attempt.to, attempt.how,
                      describe(attempt, outcome.seen), describe(attempt.expected),
                      attempt.origin.entry.empty() ? "the rest" : attempt.origin.entry, to_string(attempt.origin));
      const auto [at, is_new] = known.emplace(what, findings.size());
      if (is_new) findings.push_back({kind, {}, {}, std::move(what)});
      add_once(findings[at->second].users, attempt.user);
    }
  }
  std::vector<std::string> accounts;
  for (const Outcome& outcome : matrix.outcomes) {
    const leaktest::Case& attempt = outcome.attempt;
    const bool is_account = attempt.uid && attempt.place.empty() && attempt.means != leaktest::Means::kLateAnswer;
    if (is_account) add_once(accounts, attempt.user);
  }
  for (LeakFinding& finding : findings) {
    finding.who = finding.users == accounts ? "every account" : fmt::format("{}", fmt::join(finding.users, ", "));
  }
  return findings;
}

namespace {

/// The first `most` findings, one line each.
std::string findings_text(const Matrix& matrix, const Screen& screen, size_t most) {
  const std::vector<LeakFinding> findings = leak_findings(matrix);
  std::string text;
  for (size_t i = 0; i < std::min(most, findings.size()); ++i) {
    const LeakFinding& finding = findings[i];
    const bool is_leak = finding.kind == Judgement::kLeak;
    text += screen.wrap(fmt::format("{} {} {}",
                                    is_leak ? screen.paint(Ink::kBad, "LEAK  ") : screen.paint(Ink::kWarning, "broken"),
                                    finding.who, finding.what)) +
            "\n";
  }
  if (findings.size() > most) text += fmt::format("... and {} more; --format json lists all\n", findings.size() - most);
  return text;
}

}  // namespace

std::string leak_table_text(const Matrix& matrix, const Screen& screen) {
  using Align = TextTable::Align;
  TextTable table({{"to"},
                   {"tried", Align::kRight},
                   {"leaks", Align::kRight},
                   {"broken", Align::kRight},
                   {"who gets there", Align::kLeft, true}});
  for (const LeakRow& row : leak_rows(matrix)) {
    table.add({{row.to, Ink::kName},
               {fmt::format("{}", row.attempts), Ink::kFaint},
               {fmt::format("{}", row.leaks), row.leaks > 0 ? Ink::kBad : Ink::kFaint},
               {fmt::format("{}", row.broken), row.broken > 0 ? Ink::kWarning : Ink::kFaint},
               {row.who.empty() ? "nobody" : fmt::format("{}", fmt::join(row.who, ", ")),
                row.who.empty() ? Ink::kFaint : Ink::kPlain}});
  }
  constexpr size_t kMany = 40;
  const std::string findings = findings_text(matrix, screen, kMany);
  return table.render(screen) + (findings.empty() ? "" : "\n" + findings);
}

namespace json {

std::string leaks(const Matrix& matrix, std::chrono::duration<double, std::milli> time) {
  using Json = nlohmann::ordered_json;
  Json cases = Json::array();
  for (const Outcome& outcome : matrix.outcomes) {
    const leaktest::Case& attempt = outcome.attempt;
    const bool has_port = attempt.protocol == protocol::kTcp || attempt.protocol == protocol::kUdp;
    cases.push_back({{"user", attempt.user},
                     {"uid", attempt.uid ? Json(attempt.uid->value) : Json(nullptr)},
                     {"to", attempt.to},
                     {"how", attempt.how},
                     {"address", to_string(attempt.target.address)},
                     {"port", has_port ? Json(attempt.target.port) : Json(nullptr)},
                     {"expected", describe(attempt.expected)},
                     {"observed", describe(attempt, outcome.seen)},
                     {"ok", outcome.judgement == Judgement::kAsMeant},
                     {"entry", attempt.origin.entry},
                     {"origin", to_string(attempt.origin)}});
  }
  constexpr double kTenth = 10;
  const Json document{{"leaks", matrix.leaks()},
                      {"broken", matrix.broken()},
                      {"tried", matrix.outcomes.size()},
                      {"packets_on_cables", matrix.packets},
                      {"milliseconds", std::round(time.count() * kTenth) / kTenth},
                      {"notices", matrix.notices},
                      {"cases", std::move(cases)}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace json

}  // namespace tails::cli
