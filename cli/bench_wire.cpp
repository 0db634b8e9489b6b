#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "cli/bench.h"
#include "cli/bench_report.h"
#include "cli/log.h"
#include "cli/text_table.h"
#include "cli/wire_policy.h"
#include "fastpath/bench/frame_sizes.h"
#include "fastpath/bench/wire_bench.h"
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/cable.h"
#include "fastpath/dpdk/eal.h"
#include "fastpath/dpdk/filter.h"
#include "fastpath/dpdk/port_tester.h"
#include "fastpath/dpdk/worker.h"

namespace tails::cli {
namespace {

namespace bench = fastpath::bench;
namespace dpdk = fastpath::dpdk;

enum class Role : uint8_t { kGenerator, kFilter, kBoth };

struct WireRequest {
  Role role = Role::kBoth;
  std::vector<dpdk::PortName> ports;
  std::vector<bench::FrameSize> sizes;
  bench::WireSettings settings;
  uint32_t flows = 0;
};

/// "1.5" is millions of frames a second.
Result<double> read_rate(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const double rate = std::strtod(copy.c_str(), &end);
  if (copy.empty() || *end != '\0' || !(rate >= 0.0001) || rate > 1000) {
    return fail(ErrorKind::kUsage, fmt::format("--rate: \"{}\" is no number of millions of frames a second", text));
  }
  return rate * 1e6;
}

Result<WireRequest> read_wire_request(const Arguments& arguments) {
  WireRequest request;
  const std::string_view role = arguments.value("--role").value_or("both");
  request.role = role == "generator" ? Role::kGenerator : role == "filter" ? Role::kFilter : Role::kBoth;
  for (const std::string_view side : {"inside", "outside"}) {
    const auto given = arguments.value("--" + std::string(side));
    if (!given) continue;
    auto port = dpdk::read_port_name(*given, side);
    if (!port) return tl::unexpected(port.error());
    request.ports.push_back(*std::move(port));
  }
  if (request.ports.size() == 2 && request.ports[0].device == request.ports[1].device) {
    return fail(ErrorKind::kUsage, "inside and outside are the same port");
  }
  auto sizes = bench::read_frame_sizes(*arguments.value("--size"));
  if (!sizes) return tl::unexpected(sizes.error());
  request.sizes = *std::move(sizes);
  const auto flows = arguments.number("--flows", 16, 10'000'000);
  if (!flows) return tl::unexpected(flows.error());
  // A million is opened in seconds in memory; over cables it takes minutes.
  request.flows = flows->value_or(10'000);
  const auto leak_percent = arguments.number("--leak-percent", 0, 99);
  if (!leak_percent) return tl::unexpected(leak_percent.error());
  const auto trials = arguments.number("--trials", 1, 1000);
  if (!trials) return tl::unexpected(trials.error());
  const auto duration = arguments.number("--duration", 1, 3600);
  if (!duration) return tl::unexpected(duration.error());
  request.settings.connections = request.flows;
  request.settings.leak_percent = **leak_percent;
  request.settings.trials = **trials;
  request.settings.searches = arguments.has("--rate-search");
  if (const auto rate = arguments.value("--rate")) {
    const auto read = read_rate(*rate);
    if (!read) return tl::unexpected(read.error());
    request.settings.load = *read;
  }
  // A search makes some hundreds of trials for all that it looks for.
  constexpr double kTrialsOfSearch = 200, kLeast = 0.01, kMost = 1;
  const double parts = request.settings.searches ? kTrialsOfSearch : **trials;
  const double most = request.settings.searches ? kMost : 3600;
  request.settings.trial = bench::Nanoseconds(std::llround(std::clamp(**duration / parts, kLeast, most) * 1e9));
  return request;
}

/// The last two cores that this process may use.
std::string two_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<size_t> cores;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.size() < 2) return fmt::format("(0,1)@{}", cores.empty() ? 0 : cores.front());
  return fmt::format("{},{}", cores[cores.size() - 2], cores.back());
}

bool says_cores(const std::vector<std::string>& eal) {
  return std::ranges::any_of(eal, [](const std::string& word) {
    return word.starts_with("-l") || word.starts_with("-c") || word.starts_with("--lcores");
  });
}

/// Until a signal says so.
void wait_for_the_end() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  int signal = 0;
  sigwait(&set, &signal);
}

/// Ten trials or more, near each other.
bool is_repeatable(const std::vector<double>& trials) {
  constexpr size_t kEnough = 10;
  return trials.size() >= kEnough && bench::Spread::of(trials).is_stable();
}

nlohmann::ordered_json mix_json(const bench::MixResult& mix, const std::string& name, const std::vector<double>& rates,
                                const std::string& remark, double tester_limit) {
  std::vector<double> mpps;
  mpps.reserve(rates.size());
  for (const double rate : rates) mpps.push_back(rate * 1e-6);
  const bench::Spread spread = bench::Spread::of(mpps);
  nlohmann::ordered_json json{
      {"name", name},
      {"mpps", spread_json(spread)},
      {"ns_per_packet", spread.median > 0 ? 1000 / spread.median : 0},
      {"leaked", mix.tally.leaked},
      {"wrongly_blocked", mix.wrongly_blocked},
      {"ratio_to", {{"tester-limit", tester_limit > 0 ? spread.median * 1e6 / tester_limit : 0}}},
      {"stable", is_repeatable(rates)},
      {"frames", mix.tally.sent},
      {"forbidden", mix.tally.forbidden},
      {"reordered", mix.tally.reordered},
      {"duplicated", mix.tally.duplicated},
      {"damaged", mix.tally.damaged},
      {"trials", mix.trials}};
  json["converged"] = mix.converged;
  json["remark"] = remark;
  nlohmann::ordered_json leaks = nlohmann::ordered_json::object();
  for (const auto& [what, count] : mix.tally.leaks) leaks[what] = count;
  json["leaks"] = std::move(leaks);
  return json;
}

double at(const bench::LatencyHistogram& latency, double part) {
  return static_cast<double>(latency.quantile(part)) * 1e-3;
}

nlohmann::ordered_json latency_json(const bench::LatencyHistogram& latency) {
  return {{"p50", at(latency, 0.5)},
          {"p90", at(latency, 0.9)},
          {"p99", at(latency, 0.99)},
          {"p999", at(latency, 0.999)},
          {"most", static_cast<double>(latency.most()) * 1e-3}};
}

nlohmann::ordered_json document_of(const WireRequest& request, const bench::WireResult& result,
                                   const WirePolicy& policy, bool has_huge_pages) {
  nlohmann::ordered_json json{{"machine", machine_json(has_huge_pages, request.role == Role::kBoth ? 2 : 1)},
                              {"commit", bench_commit()},
                              {"policy", policy.policy.name},
                              {"role", request.role == Role::kBoth ? "both" : "generator"}};
  nlohmann::ordered_json ports = nlohmann::ordered_json::array(), sizes = ports;
  for (const dpdk::PortName& port : request.ports) {
    ports.push_back(port.interface.empty() ? port.device : fmt::format("{} ({})", port.interface, port.device));
  }
  for (const bench::FrameSize& size : request.sizes) sizes.push_back({{"bytes", size.bytes}, {"share", size.share}});
  json["ports"] = std::move(ports);
  json["sizes"] = std::move(sizes);
  json["flows"] = {{"asked", request.flows}, {"opened", result.opened}, {"held", result.held}};
  json["trials"] = request.settings.trials;
  json["trials_made"] = result.trials;
  json["trials_repeated"] = result.repeated;
  json["trial_ms"] = static_cast<double>(request.settings.trial.count()) * 1e-6;
  const double tester_limit = bench::Spread::of(result.tester_limit).median;
  json["tester_limit_mpps"] = tester_limit * 1e-6;
  nlohmann::ordered_json results = nlohmann::ordered_json::array(), latencies = results, points = results;
  bool is_stable = true;
  const auto add = [&](const bench::MixResult& mix, const char* kind, const std::vector<double>& rates,
                       const std::string& remark) {
    const double limit = mix.limit.empty() ? tester_limit : bench::Spread::of(mix.limit).median;
    results.push_back(mix_json(mix, kind + mix.name, rates, remark, limit));
    is_stable = is_stable && is_repeatable(rates);
  };
  for (const bench::MixResult& mix : result.mixes) {
    add(mix, request.settings.searches ? "ndr-" : "rate-", mix.ndr, mix.ndr_remark);
    if (!mix.pdr.empty()) add(mix, "pdr-", mix.pdr, mix.pdr_remark);
    for (const bench::MixResult::Point& point : mix.points) {
      points.push_back({{"mix", mix.name},
                        {"mpps", point.load * 1e-6},
                        {"loss", point.loss_ratio},
                        {"leaked", point.leaked},
                        {"trials", point.trials}});
    }
  }
  // What stands for all: at half of what it can take.
  nlohmann::ordered_json usual;
  for (const bench::LatencyResult& latency : result.latencies) {
    if (latency.percent >= 50 && usual.is_null()) usual = latency_json(latency.latency);
    latencies.push_back({{"percent", latency.percent},
                         {"mpps", latency.load * 1e-6},
                         {"us", latency_json(latency.latency)},
                         {"p50_us", spread_json(bench::Spread::of(latency.p50_us))},
                         {"p99_us", spread_json(bench::Spread::of(latency.p99_us))}});
  }
  json["stable"] = is_stable;
  json["results"] = std::move(results);
  json["connections_per_second"] = spread_json(bench::Spread::of(result.connections_per_second));
  json["latency_us"] = std::move(usual);
  json["latencies"] = std::move(latencies);
  json["points"] = std::move(points);
  return json;
}

std::string text_of(const nlohmann::ordered_json& json, const Screen& screen) {
  using Align = TextTable::Align;
  TextTable table({{"what"},
                   {"Mpps", Align::kRight},
                   {"least", Align::kRight},
                   {"most", Align::kRight},
                   {"leaked", Align::kRight},
                   {"wrongly blocked", Align::kRight},
                   {"reordered", Align::kRight},
                   {"remark"}});
  for (const auto& row : json["results"]) {
    const auto rate = [&](const char* key) { return fmt::format("{:.4f}", row["mpps"][key].get<double>()); };
    const auto bad = [&](const char* key) {
      const auto count = row[key].get<uint64_t>();
      return TextTable::Cell{std::to_string(count), count == 0 ? Ink::kGood : Ink::kBad};
    };
    std::string remark = row["remark"].get<std::string>();
    if (!row["stable"].get<bool>()) remark.insert(0, remark.empty() ? "not stable" : "not stable; ");
    table.add({{row["name"].get<std::string>()},
               {rate("median"), Ink::kStrong},
               {rate("min")},
               {rate("max")},
               bad("leaked"),
               bad("wrongly_blocked"),
               {std::to_string(row["reordered"].get<uint64_t>())},
               {remark}});
  }
  std::string text = fmt::format(
      "{}, policy \"{}\", {} of {} connections open at once, {} trials of {:.0f} ms; the tester sends at most {:.4f} "
      "Mpps\n{}",
      json["machine"]["processor"].get<std::string>(), json["policy"].get<std::string>(),
      json["flows"]["held"].get<uint64_t>(), json["flows"]["asked"].get<uint64_t>(),
      json["trials_made"].get<unsigned>(), json["trial_ms"].get<double>(), json["tester_limit_mpps"].get<double>(),
      table.render(screen));
  if (json.contains("latencies")) {
    TextTable latencies({{"latency at", Align::kRight},
                         {"Mpps", Align::kRight},
                         {"50 %", Align::kRight},
                         {"90 %", Align::kRight},
                         {"99 %", Align::kRight},
                         {"99.9 %", Align::kRight},
                         {"most, us", Align::kRight}});
    for (const auto& row : json["latencies"]) {
      const auto us = [&](const char* key) { return fmt::format("{:.1f}", row["us"][key].get<double>()); };
      latencies.add({{fmt::format("{} %", row["percent"].get<unsigned>())},
                     {fmt::format("{:.4f}", row["mpps"].get<double>())},
                     {us("p50")},
                     {us("p90")},
                     {us("p99")},
                     {us("p999")},
                     {us("most")}});
    }
    text += latencies.render(screen);
  }
  const auto& rate = json["connections_per_second"];
  text += fmt::format("{:.0f} connections a second are set up and closed ({:.0f} to {:.0f})\n",
                      rate["median"].get<double>(), rate["min"].get<double>(), rate["max"].get<double>());
  if (!json["stable"].get<bool>()) {
    text +=
        "Not stable: fewer than ten trials, or they lie more than a tenth apart. Something else runs on this machine, "
        "or --duration is short.\n";
  }
  return text;
}

/// Runs the bench against a filter that is there already, or beside.
Result<ExitStatus> generate(const Invocation& invocation, const WireRequest& request, const WirePolicy& policy,
                            bench::Tester& tester, std::span<const bench::SizedTraffic> sizes, bool has_huge_pages) {
  Result<bench::WireResult> result = [&] {
    BenchProgress progress(invocation);
    return bench::run_wire_bench(tester, sizes, request.settings,
                                 [&](std::string_view doing, double part) { progress.show(doing, part); });
  }();
  if (!result) return tl::unexpected(result.error());
  const auto document = document_of(request, *result, policy, has_huge_pages);
  if (auto done = deliver_bench(invocation, document, text_of(document, invocation.out)); !done) {
    return tl::unexpected(done.error());
  }
  return result->leaked() + result->wrongly_blocked() == 0 ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace

Result<ExitStatus> bench_wire(const Invocation& invocation) {
  auto request = read_wire_request(invocation.arguments);
  if (!request) return tl::unexpected(request.error());
  const auto policy = load_wire_policy(invocation.global, "dscp");
  if (!policy) return tl::unexpected(policy.error());
  std::vector<bench::SizedTraffic> sizes;
  for (const bench::FrameSize& size : request->sizes) {
    constexpr unsigned kChecksum = 4;
    auto traffic = bench::Traffic::make(policy->rules, policy->view, size.bytes - kChecksum);
    if (!traffic) return tl::unexpected(traffic.error());
    sizes.push_back({*std::move(traffic), size.share});
  }

  std::vector<std::string> given = invocation.arguments.operands();
  given.emplace_back("--no-telemetry");
  if (request->role == Role::kBoth && !says_cores(given)) {
    const std::string cores = two_cores();
    given.push_back(cores.starts_with("(") ? "--lcores=" + cores : "-l" + cores);
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (request->role == Role::kFilter) pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Threads that spin have to be at work when a frame comes; where that is not allowed, others share the cores.
  constexpr int kBeforeOthers = -20;
  static_cast<void>(::setpriority(PRIO_PROCESS, 0, kBeforeOthers));
  const auto told = dpdk::eal_arguments(request->ports, given, invocation.global.verbosity > 0);
  if (!told.has_huge_pages) log::notice("no free huge pages: measured in ordinary memory, about a tenth slower");
  const auto eal = dpdk::Eal::start(told.words);
  if (!eal) return tl::unexpected(eal.error());
  if (request->ports.empty()) {
    for (const std::string& device : dpdk::devices()) request->ports.push_back({device, {}, "", false});
    if (request->ports.size() != 2) {
      return fail(ErrorKind::kUsage, fmt::format("a bench over cables needs two ports; behind \"--\" there are {}",
                                                 request->ports.size()));
    }
  }
  constexpr unsigned kBuffers = 32767;
  const auto pool = dpdk::PacketPool::make("frames", kBuffers);
  if (!pool) return tl::unexpected(pool.error());
  auto first = dpdk::Port::open(request->ports[0].device, *pool);
  if (!first) return tl::unexpected(first.error());
  auto second = dpdk::Port::open(request->ports[1].device, *pool);
  if (!second) return tl::unexpected(second.error());
  const uint32_t key = std::random_device()();
  if (request->role == Role::kGenerator) {
    dpdk::PortTester tester(*std::move(first), *std::move(second), *pool, sizes, key);
    return generate(invocation, *request, *policy, tester, sizes, told.has_huge_pages);
  }

  auto rules = fastpath::FilterRules::make(policy->rules, policy->view, dpdk::make_acl);
  if (!rules) return tl::unexpected(rules.error());
  // Beside the connections there is room for a flood.
  const dpdk::Filter::Options options{.flows = size_t{2} * request->flows + 100'000, .spins = true};
  std::atomic<bool> stop = false;
  if (request->role == Role::kFilter) {
    auto filter = dpdk::Filter::make(*std::move(first), *std::move(second), *pool, *rules, options);
    if (!filter) return tl::unexpected(filter.error());
    std::thread waiting([&] {
      eal->leave_core();
      wait_for_the_end();
      stop = true;
    });
    if (!invocation.global.json) print("Filtering until SIGTERM.\n");
    (*filter)->run(stop);
    waiting.join();
    return ExitStatus::kDone;
  }

  const auto cable = dpdk::Cable::make("bench");
  if (!cable) return tl::unexpected(cable.error());
  auto outside = dpdk::Port::open(cable->near(), *pool);
  if (!outside) return tl::unexpected(outside.error());
  auto sink = dpdk::Port::open(cable->far(), *pool);
  if (!sink) return tl::unexpected(sink.error());
  auto filter = dpdk::Filter::make(*std::move(second), *std::move(outside), *pool, *rules, options);
  if (!filter) return tl::unexpected(filter.error());
  dpdk::PortTester tester(*std::move(first), *std::move(sink), *pool, sizes, key);
  const auto worker = dpdk::Worker::start([&] { (*filter)->run(stop); });
  if (!worker) return tl::unexpected(worker.error());
  auto status = generate(invocation, *request, *policy, tester, sizes, told.has_huge_pages);
  stop = true;
  return status;
}

}  // namespace tails::cli
