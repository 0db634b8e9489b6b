#include "cli/bench.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/bench_report.h"
#include "cli/log.h"
#include "cli/text_table.h"
#include "cli/wire_policy.h"
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#include "fastpath/dpdk/software_nic.h"
#include "fastpath/dpdk/worker.h"
#include "fastpath/kernels.h"
#include "net/frame_builder.h"

namespace tails::cli {
namespace {

using fastpath::FlowTable;
using fastpath::Pipeline;
using fastpath::Side;
using fastpath::bench::Spread;
using fastpath::dpdk::Run;
using fastpath::dpdk::SoftwareNic;
using fastpath::dpdk::Trace;
using fastpath::dpdk::TraceFrame;

/// One thing that is measured, over all trials.
struct Measure {
  std::string name;
  const Trace* trace = nullptr;
  unsigned leak_percent = 0;
  bool filters = true;
  unsigned cores = 1;
  std::vector<std::vector<Run>> trials{};  ///< The runs of each trial, by core.

  [[nodiscard]] Spread rates() const {
    std::vector<double> all;
    for (const auto& runs : trials) {
      double rate = 0;
      for (const Run& run : runs) rate += static_cast<double>(run.frames) / run.seconds * 1e-6;
      all.push_back(rate);
    }
    return Spread::of(all);
  }
  [[nodiscard]] uint64_t sum(uint64_t Run::*counter) const {
    uint64_t sum = 0;
    for (const auto& runs : trials) {
      for (const Run& run : runs) sum += run.*counter;
    }
    return sum;
  }
};

/// A NIC, a filter and its flows: what one core has, and shares with none.
struct Lane {
  SoftwareNic nic;
  Pipeline pipeline;
};

wire::FrameSpec flow_frame(uint32_t flow, uint8_t tag, uint8_t flags) {
  wire::FrameSpec spec;
  spec.source = IpAddress::v4(198, 51, 100, 7);
  // Networks of nobody's LAN; 50,000 ports for each destination.
  spec.destination = IpAddress::v4((uint32_t{203} << 24) + flow / 50000);
  spec.source_port = static_cast<Port>(10000 + flow % 50000);
  spec.destination_port = 443;
  spec.tos = static_cast<uint8_t>(tag << 2);
  spec.tcp_flags = flags;
  spec.payload.resize(10);
  return spec;
}

TraceFrame trace_frame(const wire::FrameSpec& spec) {
  TraceFrame frame;
  std::ranges::copy(wire::build_frame(spec), frame.bytes.begin());
  return frame;
}

/// Sends one frame through the pipeline outside of any measurement.
void show(Pipeline& pipeline, Side from, const wire::FrameSpec& spec) {
  std::vector<std::byte> bytes = wire::build_frame(spec);
  const size_t length = bytes.size();
  bytes.resize(length + fastpath::Burst::kReadable);
  const auto burst = std::make_unique<fastpath::Burst>();
  burst->count = 1;
  burst->data[0] = bytes.data();
  burst->length[0] = static_cast<uint16_t>(length);
  burst->known_good[0] = 0;
  pipeline.process(from, *burst);
}

/// Opens Tor's connections and has each answered.
void establish(Pipeline& pipeline, uint32_t flows, uint8_t tag) {
  for (uint32_t flow = 0; flow < flows; ++flow) {
    show(pipeline, Side::kInside, flow_frame(flow, tag, tcp_flag::kSyn));
    wire::FrameSpec answer = flow_frame(flow, 0, tcp_flag::kSyn | tcp_flag::kAck);
    std::swap(answer.source, answer.destination);
    std::swap(answer.source_port, answer.destination_port);
    show(pipeline, Side::kOutside, answer);
    show(pipeline, Side::kInside, flow_frame(flow, tag, tcp_flag::kAck));
  }
}

/// Segments of the flows in random order, and among them connections that nobody may open.
Trace make_trace(size_t frames, uint32_t flows, uint8_t tag, unsigned leak_percent) {
  Trace trace;
  std::mt19937_64 random(1);
  for (size_t i = 0; i < frames; ++i) {
    const auto flow = static_cast<uint32_t>(random() % flows);
    const bool leaks = random() % 100 < leak_percent;
    wire::FrameSpec spec = flow_frame(flow, leaks ? uint8_t{0} : tag, leaks ? tcp_flag::kSyn : tcp_flag::kAck);
    if (leaks) spec.source_port = static_cast<Port>(1 + random() % 9000);  // Of no flow.
    trace.frames.push_back(trace_frame(spec));
    trace.is_leak.push_back(leaks ? 1 : 0);
  }
  return trace;
}

double percentile(const std::vector<uint32_t>& sorted, double part) {
  if (sorted.empty()) return 0;
  const auto place = static_cast<size_t>(part * static_cast<double>(sorted.size()));
  return sorted[std::min(sorted.size() - 1, place)] * 1e-3;
}

/// The last cores that this process may use, as EAL wants to be told.
Result<std::string> last_cores(unsigned count) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string words;
  unsigned found = 0;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (size_t core = CPU_SETSIZE; core-- > 0 && found < count;) {
      if (!CPU_ISSET(core, &set)) continue;
      words.insert(0, std::to_string(core) + (words.empty() ? "" : ","));
      ++found;
    }
  }
  if (found < count) return fail(ErrorKind::kUsage, fmt::format("--cores {}: there are {}", count, found));
  return words;
}

struct EmbeddedRequest {
  uint32_t flows = 0;
  unsigned leak_percent = 0;
  unsigned duration = 0;
  unsigned trials = 0;
  unsigned cores = 1;
};

Result<EmbeddedRequest> read_embedded_request(const Arguments& arguments) {
  EmbeddedRequest request;
  const auto read = [&](const char* option, uint32_t least, uint32_t most, uint32_t usual, auto& into) -> Result<void> {
    const auto number = arguments.number(option, least, most);
    if (!number) return tl::unexpected(number.error());
    into = number->value_or(usual);
    return {};
  };
  if (auto done = read("--flows", 1, 10'000'000, 1'000'000, request.flows); !done) return tl::unexpected(done.error());
  if (auto done = read("--leak-percent", 0, 100, 50, request.leak_percent); !done) return tl::unexpected(done.error());
  if (auto done = read("--duration", 1, 3600, 20, request.duration); !done) return tl::unexpected(done.error());
  if (auto done = read("--trials", 1, 1000, 11, request.trials); !done) return tl::unexpected(done.error());
  if (auto done = read("--cores", 1, 64, 1, request.cores); !done) return tl::unexpected(done.error());
  if (arguments.value("--size").value_or("64") != "64") {
    return fail(ErrorKind::kUsage, "--size needs two ports: without them frames have 64 bytes",
                "What a filter does with a frame does not depend on its size; what its ports do does.");
  }
  return request;
}

/// The measure's trial on each of its cores at once.
Result<std::vector<Run>> run_trial(const Measure& measure, std::vector<Lane>& lanes, double seconds) {
  std::vector<Run> runs(measure.cores);
  const auto run = [&](unsigned lane) {
    SoftwareNic& nic = lanes[lane].nic;
    runs[lane] = measure.filters ? nic.filter(lanes[lane].pipeline, *measure.trace, seconds)
                                 : nic.forward(*measure.trace, seconds);
  };
  std::vector<fastpath::dpdk::Worker> workers;
  for (unsigned lane = 1; lane < measure.cores; ++lane) {
    auto worker = fastpath::dpdk::Worker::start([&run, lane] { run(lane); });
    if (!worker) return tl::unexpected(worker.error());
    workers.push_back(*std::move(worker));
  }
  run(0);
  workers.clear();  // Waits for them.
  return runs;
}

/// Where the time goes, for one trace: nanoseconds of a frame by stage, the median of several runs. Looking at the
/// clock between stages costs some itself, so the sum is more than the filter takes.
nlohmann::ordered_json stages_json(Lane& lane, const Trace& trace, unsigned leak_percent, double seconds) {
  constexpr std::array<const char*, fastpath::kStageCount> kNames = {"parse", "look_up", "classify", "commit", "sweep"};
  constexpr unsigned kRuns = 5;
  std::vector<Run> runs;
  runs.reserve(kRuns);
  for (unsigned i = 0; i < kRuns; ++i) runs.push_back(lane.nic.filter_by_stages(lane.pipeline, trace, seconds / kRuns));
  const auto median = [&](auto&& of) {
    std::vector<double> values;
    values.reserve(runs.size());
    for (const Run& run : runs) values.push_back(of(run));
    return Spread::of(values).median;
  };
  nlohmann::ordered_json ns{{"receive", median([](const Run& run) { return run.receive_ns; })}};
  for (size_t stage = 0; stage < kNames.size(); ++stage) {
    ns[kNames.at(stage)] = median([&](const Run& run) { return run.stage_ns.at(stage); });
  }
  ns["send"] = median([](const Run& run) { return run.send_ns; });
  return {{"leak_percent", leak_percent}, {"ns", std::move(ns)}};
}

/// Everything that was measured, in the contract's form.
nlohmann::ordered_json document_of(const std::vector<Measure>& measures, const EmbeddedRequest& request,
                                   const std::string& policy, bool has_huge_pages, nlohmann::ordered_json stages) {
  const double io = measures.front().rates().median;
  bool is_stable = request.trials >= 10;
  std::vector<uint32_t> burst_ns;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  for (const Measure& measure : measures) {
    const Spread rates = measure.rates();
    is_stable = is_stable && rates.is_stable();
    for (const auto& runs : measure.trials) {
      if (measure.leak_percent != request.leak_percent || measure.cores != 1 || !measure.filters) continue;
      burst_ns.insert(burst_ns.end(), runs.front().burst_ns.begin(), runs.front().burst_ns.end());
    }
    results.push_back({{"name", measure.name},
                       {"leak_percent", measure.leak_percent},
                       {"cores", measure.cores},
                       {"mpps", spread_json(rates)},
                       {"ns_per_packet", 1000 / rates.median},
                       {"frames", measure.sum(&Run::frames)},
                       {"leaked", measure.sum(&Run::leaked)},
                       {"wrongly_blocked", measure.sum(&Run::wrongly_blocked)},
                       {"ratio_to", {{"software-nic-io", rates.median / io}}},
                       {"stable", rates.is_stable() && request.trials >= 10}});
  }
  std::ranges::sort(burst_ns);
  return {{"machine", machine_json(has_huge_pages, request.cores)},
          {"commit", bench_commit()},
          {"policy", policy},
          {"flows", request.flows},
          {"trials", request.trials},
          {"stable", is_stable},
          {"results", std::move(results)},
          {"stages", std::move(stages)},
          {"kernels", fastpath::fastest_kernels().name},
          {"latency_us",
           {{"p50", percentile(burst_ns, 0.5)},
            {"p90", percentile(burst_ns, 0.9)},
            {"p99", percentile(burst_ns, 0.99)},
            {"p999", percentile(burst_ns, 0.999)},
            {"most", percentile(burst_ns, 1)}}}};
}

std::string text_of(const std::vector<Measure>& measures, const nlohmann::ordered_json& document,
                    const EmbeddedRequest& request, const Screen& screen) {
  using Align = TextTable::Align;
  TextTable table({{"what"},
                   {"Mpps", Align::kRight},
                   {"least", Align::kRight},
                   {"most", Align::kRight},
                   {"ns/frame", Align::kRight},
                   {"of io", Align::kRight},
                   {"leaked", Align::kRight},
                   {"wrongly blocked", Align::kRight}});
  const double io = measures.front().rates().median;
  for (const Measure& measure : measures) {
    const Spread rates = measure.rates();
    const uint64_t leaked = measure.sum(&Run::leaked), blocked = measure.sum(&Run::wrongly_blocked);
    const std::string share = measure.filters ? fmt::format(", {} % leaks", measure.leak_percent) : "";
    const std::string cores = measure.cores == 1 ? "" : fmt::format(", {} cores", measure.cores);
    table.add({{fmt::format("{}{}{}", measure.filters ? "filter" : "the same ports without", share, cores)},
               {fmt::format("{:.2f}", rates.median), Ink::kStrong},
               {fmt::format("{:.2f}", rates.least)},
               {fmt::format("{:.2f}", rates.most)},
               {fmt::format("{:.1f}", 1000 / rates.median)},
               {fmt::format("{:.2f}", rates.median / io)},
               {std::to_string(leaked), leaked == 0 ? Ink::kGood : Ink::kBad},
               {std::to_string(blocked), blocked == 0 ? Ink::kGood : Ink::kBad}});
  }
  const auto us = [&](const char* key) { return document["latency_us"][key].get<double>(); };
  std::string text =
      fmt::format("{}, policy \"{}\", {} flows, 64-byte frames, {} trials in turn\n{}", bench_processor(),
                  document["policy"].get<std::string>(), request.flows, request.trials, table.render(screen));
  text += fmt::format("a burst of {} takes {:.1f} us (median), {:.1f} (99 %), {:.1f} (99.9 %)\n", fastpath::kBurst,
                      us("p50"), us("p99"), us("p999"));
  if (!document["stable"].get<bool>()) {
    text +=
        "Not stable: fewer than ten trials, or they lie more than a tenth apart. Something else runs on this "
        "machine.\n";
  }
  return text;
}

}  // namespace

Result<ExitStatus> bench_embedded(const Invocation& invocation) {
  const auto request = read_embedded_request(invocation.arguments);
  if (!request) return tl::unexpected(request.error());
  const auto policy = load_wire_policy(invocation.global, "dscp");
  if (!policy) return tl::unexpected(policy.error());
  if (!policy->policy.tor) return fail(ErrorKind::kUsage, "bench needs a policy with [tor]: its flows are Tor's");
  const Uid tor = policy->policy.tor->user.uid;
  const auto owner = std::ranges::find_if(policy->view.owners, [&](const OwnerTag& tag) {
    const auto* uid = std::get_if<Uid>(&tag.owner);
    return uid != nullptr && *uid == tor;
  });
  const uint8_t tag = owner == policy->view.owners.end() ? uint8_t{0} : owner->tag;

  std::vector<fastpath::dpdk::PortName> ports;
  for (unsigned device = 0; device < 2 * request->cores; ++device) {
    ports.push_back(*fastpath::dpdk::read_port_name(fmt::format("net_null{},size=64,copy=0", device), "null"));
  }
  std::vector<std::string> given = invocation.arguments.operands();
  given.emplace_back("--no-telemetry");
  if (request->cores > 1) {
    const auto cores = last_cores(request->cores);
    if (!cores) return tl::unexpected(cores.error());
    given.push_back("-l" + *cores);
  }
  const auto told = fastpath::dpdk::eal_arguments(ports, given, invocation.global.verbosity > 0);
  if (!told.has_huge_pages) log::notice("no free huge pages: measured in ordinary memory, about a tenth slower");
  const auto eal = fastpath::dpdk::Eal::start(told.words);
  if (!eal) return tl::unexpected(eal.error());
  auto rules = fastpath::FilterRules::make(policy->rules, policy->view, fastpath::dpdk::make_acl);
  if (!rules) return tl::unexpected(rules.error());

  BenchProgress progress(invocation);
  std::vector<Lane> lanes;
  for (unsigned lane = 0; lane < request->cores; ++lane) {
    progress.show("opening the flows", 0.1 * lane / request->cores);
    auto nic = SoftwareNic::open(lane);
    if (!nic) return tl::unexpected(nic.error());
    auto memory = fastpath::Memory::map(FlowTable::bytes_for(request->flows));
    if (!memory) return tl::unexpected(memory.error());
    lanes.push_back({*std::move(nic), Pipeline(*rules, FlowTable(*std::move(memory), 42))});
    establish(lanes.back().pipeline, request->flows, tag);
  }

  // Shares of leaks between, to see how the rate depends on them.
  std::map<unsigned, Trace> traces;
  for (const unsigned percent : {0U, 25U, 50U, 75U, 100U, request->leak_percent}) {
    progress.show("making frames", 0.1 + 0.1 * percent / 100);
    constexpr size_t kTraceFrames = size_t{1} << 20;
    if (!traces.contains(percent)) traces[percent] = make_trace(kTraceFrames, request->flows, tag, percent);
  }
  std::vector<Measure> measures = {{"software-nic-io", &traces[0], 0, false},
                                   {"pipeline-established", &traces[0], 0},
                                   {"pipeline-leaks", &traces[request->leak_percent], request->leak_percent}};
  for (const auto& [percent, trace] : traces) {
    if (percent == 0 || percent == request->leak_percent) continue;
    measures.push_back({fmt::format("pipeline-leaks-{}", percent), &trace, percent});
  }
  if (request->cores > 1) {
    measures.push_back({fmt::format("pipeline-leaks-{}-cores", request->cores), &traces[request->leak_percent],
                        request->leak_percent, true, request->cores});
  }
  const double seconds =
      static_cast<double>(request->duration) / static_cast<double>(request->trials * measures.size());
  for (unsigned trial = 0; trial < request->trials; ++trial) {
    progress.show("measuring", 0.2 + 0.8 * trial / request->trials);
    // In turn: a machine that is busy with something else slows all of them.
    for (Measure& measure : measures) {
      auto runs = run_trial(measure, lanes, seconds);
      if (!runs) return tl::unexpected(runs.error());
      measure.trials.push_back(*std::move(runs));
    }
  }
  nlohmann::ordered_json stages = nlohmann::ordered_json::array();
  stages.push_back(stages_json(lanes.front(), traces[0], 0, seconds * 3));
  stages.push_back(stages_json(lanes.front(), traces[request->leak_percent], request->leak_percent, seconds * 3));
  progress.end();
  const auto document = document_of(measures, *request, policy->policy.name, told.has_huge_pages, std::move(stages));
  if (auto done = deliver_bench(invocation, document, text_of(measures, document, *request, invocation.out)); !done) {
    return tl::unexpected(done.error());
  }
  const bool is_right = std::ranges::all_of(measures, [](const Measure& measure) {
    return measure.sum(&Run::leaked) + measure.sum(&Run::wrongly_blocked) == 0;
  });
  return is_right ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace tails::cli
