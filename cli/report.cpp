#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/html_page.h"
#include "cli/json.h"
#include "cli/leak_matrix.h"
#include "cli/live_system.h"
#include "cli/log.h"
#include "cli/operand.h"
#include "net/errno_words.h"
#include "policy/lower.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::array kReportOptions{
    OptionSpec{.name = "--html",
               .value = "FILE",
               .help = "Where to write the page",
               .is_required = true,
               .completion = Completion::kFile},
    OptionSpec{.name = "--bench",
               .value = "FOLDER",
               .help = "Results of measurements (*.json, *.svg) to show",
               .fallback = "bench/results",
               .completion = Completion::kFile},
    OptionSpec{.name = "--quick", .help = "The quick form of the leak test"},
};

std::vector<html::Document> bench_results(const std::string& folder) {
  std::vector<html::Document> results;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const bool is_picture = entry.path().extension() == ".svg";
    if (!is_picture && entry.path().extension() != ".json") continue;
    if (auto text = read_file(entry.path().string())) {
      results.push_back({(is_picture ? entry.path().filename() : entry.path().stem()).string(), std::move(*text)});
    }
  }
  std::ranges::sort(results, {}, &html::Document::name);
  return results;
}

/// What the page is made of, and what is known of it for the exit status.
struct Parts {
  std::vector<html::Section> sections;
  std::vector<html::Document> documents;
  bool is_good = true;
};

/// What is proved and tried.
struct Subject {
  Operand rules;
  /// How the rules in force compare with the policy; an error where they cannot be read.
  Result<StatusReport> status;
  bool is_in_force = false;  ///< They are the rules in force, or are meant to be and mean the same.
};

/// X; without it the rules in force, as far as they can be read, else the policy's. Where the rules in force are the
/// policy's, the policy's: those know which entry each is of.
Result<Subject> subject_of(const Invocation& invocation, const Operand& in_charge,
                           const policy::Environment& environment) {
  const LiveSystem system;
  const auto live = iptc::read_live(system.get());
  Result<StatusReport> status =
      live ? Result<StatusReport>(status_of(in_charge.policy->name, in_charge.rules, *live, policy::lockdown()))
           : tl::unexpected(live.error());
  if (!invocation.arguments.operands().empty()) {
    auto named = load_operand(invocation.arguments.operands().front(), invocation.global, environment);
    if (!named) return tl::unexpected(named.error());
    return Subject{std::move(*named), std::move(status)};
  }
  const bool is_policy = !status || status->state == StatusReport::State::kInForce;
  auto rules = is_policy ? Result<Operand>(in_charge) : load_operand("live", invocation.global, environment);
  if (!rules) return tl::unexpected(rules.error());
  return Subject{std::move(*rules), std::move(status), status.has_value()};
}

/// What the sections are about: a sentence, or two, without the last dot.
std::string about(const Subject& subject) {
  if (subject.is_in_force) return "Proved and tried: the rules in force";
  const std::string said = fmt::format("Proved and tried: {}, not the rules in force", subject.rules.name);
  return subject.status ? said : said + ", which cannot be read: " + subject.status.error().message;
}

Result<void> add_proof(Parts& parts, const Subject& subject, const policy::Policy& policy) {
  const auto start = Clock::now();
  const ruleset::RuleSet& rules = subject.rules.rules;
  const auto proof = proof::prove(rules, policy);
  if (!proof) return tl::unexpected(proof.error());
  const std::string document = json::proof(*proof, rules, Milliseconds(Clock::now() - start));
  parts.is_good &= proof->holds();
  parts.sections.push_back(html::proof(*proof, rules, document));
  parts.documents.push_back({"proof", document});
  return {};
}

void add_counters(Parts& parts, const Subject& subject) {
  if (!subject.status) {
    parts.sections.push_back(html::missing("counters", "Counters", subject.status.error().message));
    return;
  }
  parts.sections.push_back(html::counters(*subject.status));
  parts.documents.push_back({"status", json::status(*subject.status, std::nullopt)});
  // Rules that were named are not claimed to be in force.
  if (subject.is_in_force) parts.is_good &= subject.status->state == StatusReport::State::kInForce;
}

void add_leaks(Parts& parts, const Subject& subject, const policy::Policy& policy, const Invocation& invocation) {
  const auto start = Clock::now();
  const auto matrix = try_leaks(policy, subject.rules.rules, invocation.arguments.has("--quick"), &invocation.err);
  if (!matrix) {
    parts.sections.push_back(
        html::missing("leaks", "Leak test", matrix.error().message + ". " + matrix.error().remedy));
    return;
  }
  parts.is_good &= matrix->leaks() + matrix->broken() == 0;
  parts.sections.push_back(html::leaks(*matrix));
  parts.documents.push_back({"leaktest", json::leaks(*matrix, Milliseconds(Clock::now() - start))});
}

constexpr const char* kChooseFile =
    "Name a file in a folder that is there and that you may write to. No page was written.";

/// What can be known of the file before the work.
Result<void> check_place(const std::string& path) {
  std::error_code ignored;
  const auto folder = std::filesystem::path(path).parent_path();
  const auto refuse = [&](int number) {
    return fail(ErrorKind::kRefused, fmt::format("cannot write {}: {}", path, errno_words(number)), kChooseFile,
                number);
  };
  if (std::filesystem::is_directory(path, ignored)) return refuse(EISDIR);
  if (::faccessat(AT_FDCWD, folder.empty() ? "." : folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0) return refuse(errno);
  return {};
}

Result<ExitStatus> run_report(const Invocation& invocation) {
  const std::string path(*invocation.arguments.value("--html"));
  if (auto place = check_place(path); !place) return tl::unexpected(place.error());
  const policy::SystemEnvironment environment;
  const auto operand = load_policy_in_charge(invocation.global, environment);
  if (!operand) return tl::unexpected(operand.error());
  const policy::Policy& policy = *operand->policy;
  const auto subject = subject_of(invocation, *operand, environment);
  if (!subject) return tl::unexpected(subject.error());
  Parts parts;
  parts.sections.push_back(html::reach(policy));
  if (auto done = add_proof(parts, *subject, policy); !done) return tl::unexpected(done.error());
  add_leaks(parts, *subject, policy, invocation);
  add_counters(parts, *subject);
  const std::string folder(*invocation.arguments.value("--bench"));
  const auto results = bench_results(folder);
  if (!results.empty()) parts.sections.push_back(html::bench(results));

  const std::string page = html::page(
      "tails-iptc: network policy report",
      fmt::format("Policy \"{}\" ({}), {}. {}", policy.name, policy.source, html::now_text(), about(*subject)),
      parts.is_good ? "All that was proved and tried holds." : "Something does not hold: see below.", parts.is_good,
      parts.sections, parts.documents);
  const auto files = iptc::system_files();
  if (auto written = iptc::write_durable_file(*files, path, page, 0644); !written) {
    Error error = written.error();
    error.remedy = kChooseFile;
    return tl::unexpected(std::move(error));
  }
  if (invocation.global.json) {
    print(fmt::format("{{\"holds\":{},\"bytes\":{}}}\n", parts.is_good, page.size()));
  } else if (invocation.global.verbosity >= 0) {
    print(fmt::format("Wrote {} ({} KiB): {}\n", path, page.size() / 1024,
                      parts.is_good ? "all that was proved and tried holds." : "something does not hold."));
  }
  return parts.is_good ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace

constinit const Command kReport{
    .name = "report",
    .group = Group::kInspect,
    .summary = "Write one page: who may reach what, the proof, the leak test, counters, measurements",
    .description =
        "Writes a page that needs nothing but itself: no network, no script, readable on a phone, in the dark, by "
        "keyboard and with a screen reader. It shows who may reach what under the policy, proves the leak properties, "
        "makes the leak test, reads the counters of the rules in force, and draws measurements where there are some. "
        "Proved and tried are the rules in force, or those of X. What cannot be had (without root: the rules in "
        "force, the leak test and counters) is named; then the policy's rules are proved. The JSON documents of "
        "`prove`, `leaktest` and `status` are embedded. Exit status 1 means that something does not hold, or that the "
        "rules in force are not the policy's.",
    .options = kReportOptions,
    .operands = {.name = "X", .help = kOperandHelp, .most = 1, .completion = Completion::kOperand},
    .example = "sudo tails-iptc report --html report.html",
    .run = run_report,
};

}  // namespace tails::cli
