#include <algorithm>
#include <array>
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
#include "policy/lower.h"
#include "policy/system_environment.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::array kOptions{
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

Result<void> add_proof(Parts& parts, const Operand& operand) {
  const auto start = Clock::now();
  const auto proof = proof::prove(operand.rules, *operand.policy);
  if (!proof) return tl::unexpected(proof.error());
  const std::string document = json::proof(*proof, operand.rules, Milliseconds(Clock::now() - start));
  parts.is_good &= proof->holds();
  parts.sections.push_back(html::proof(*proof, operand.rules, document));
  parts.documents.push_back({"proof", document});
  return {};
}

void add_counters(Parts& parts, const Operand& operand) {
  const LiveSystem system;
  const auto live = iptc::read_live(system.get());
  if (!live) {
    parts.sections.push_back(html::missing("counters", "Counters", live.error().message));
    return;
  }
  const StatusReport report = status_of(operand.policy->name, operand.rules, *live, policy::lockdown());
  parts.sections.push_back(html::counters(report));
  parts.documents.push_back({"status", json::status(report, std::nullopt)});
}

void add_leaks(Parts& parts, const Operand& operand, const Invocation& invocation) {
  const auto start = Clock::now();
  const auto matrix = try_leaks(*operand.policy, operand.rules, invocation.arguments.has("--quick"), &invocation.err);
  if (!matrix) {
    parts.sections.push_back(
        html::missing("leaks", "Leak test", matrix.error().message + ". " + matrix.error().remedy));
    return;
  }
  parts.is_good &= matrix->leaks() + matrix->broken() == 0;
  parts.sections.push_back(html::leaks(*matrix));
  parts.documents.push_back({"leaktest", json::leaks(*matrix, Milliseconds(Clock::now() - start))});
}

Result<ExitStatus> run(const Invocation& invocation) {
  const policy::SystemEnvironment environment;
  const auto operand = load_policy_in_charge(invocation.global, environment);
  if (!operand) return tl::unexpected(operand.error());
  Parts parts;
  parts.sections.push_back(html::reach(*operand->policy));
  if (auto done = add_proof(parts, *operand); !done) return tl::unexpected(done.error());
  add_leaks(parts, *operand, invocation);
  add_counters(parts, *operand);
  const std::string folder(*invocation.arguments.value("--bench"));
  const auto results = bench_results(folder);
  if (!results.empty()) parts.sections.push_back(html::bench(results));

  const std::string path(*invocation.arguments.value("--html"));
  const std::string page = html::page(
      "tails-iptc: network policy report",
      fmt::format("Policy \"{}\" ({}), {}", operand->policy->name, operand->policy->source, html::now_text()),
      parts.is_good ? "All that was proved and tried holds." : "Something does not hold: see below.", parts.is_good,
      parts.sections, parts.documents);
  const auto files = iptc::system_files();
  if (auto written = iptc::write_durable_file(*files, path, page, 0644); !written) {
    return tl::unexpected(written.error());
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
        "keyboard "
        "and with a screen reader. It shows who may reach what under the policy, proves the leak properties, makes the "
        "leak test, reads the counters of the rules in force, and draws measurements where there are some. What cannot "
        "be had (without root: leak test and counters) is named. The JSON documents of `prove`, `leaktest` and "
        "`status` "
        "are embedded. Exit status 1 means that something does not hold.",
    .options = kOptions,
    .example = "sudo tails-iptc report --html report.html",
    .run = run,
};

}  // namespace tails::cli
