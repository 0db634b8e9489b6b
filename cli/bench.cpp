#include "cli/bench.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/log.h"
#include "cli/text_table.h"
#include "cli/wire_policy.h"
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#include "fastpath/dpdk/software_nic.h"
#include "net/frame_builder.h"

namespace tails::cli {
namespace {

using fastpath::FlowTable;
using fastpath::Pipeline;
using fastpath::Side;
using fastpath::dpdk::Run;
using fastpath::dpdk::SoftwareNic;
using fastpath::dpdk::Trace;
using fastpath::dpdk::TraceFrame;

/// One thing that is measured, over all trials.
struct Measure {
  std::string name;
  unsigned leak_percent = 0;
  bool filters = true;
  std::vector<Run> runs;

  /// Millions of frames a second, ascending.
  [[nodiscard]] std::vector<double> rates() const {
    std::vector<double> all;
    for (const Run& run : runs) all.push_back(static_cast<double>(run.frames) / run.seconds * 1e-6);
    std::ranges::sort(all);
    return all;
  }
  [[nodiscard]] double median() const { return rates()[runs.size() / 2]; }
  [[nodiscard]] uint64_t leaked() const {
    uint64_t sum = 0;
    for (const Run& run : runs) sum += run.leaked;
    return sum;
  }
  [[nodiscard]] uint64_t wrongly_blocked() const {
    uint64_t sum = 0;
    for (const Run& run : runs) sum += run.wrongly_blocked;
    return sum;
  }
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

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

uint32_t percentile(std::vector<uint32_t>& sorted, double part) {
  return sorted.empty()
             ? 0
             : sorted[std::min(sorted.size() - 1, static_cast<size_t>(part * static_cast<double>(sorted.size())))];
}

}  // namespace

Result<ExitStatus> run_bench(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  const auto flows = arguments.number("--flows", 1, 10'000'000);
  if (!flows) return tl::unexpected(flows.error());
  const auto leak_percent = arguments.number("--leak-percent", 0, 100);
  if (!leak_percent) return tl::unexpected(leak_percent.error());
  const auto duration = arguments.number("--duration", 1, 3600);
  if (!duration) return tl::unexpected(duration.error());
  const auto trials = arguments.number("--trials", 1, 1000);
  if (!trials) return tl::unexpected(trials.error());

  const auto policy = load_wire_policy(invocation.global, "dscp");
  if (!policy) return tl::unexpected(policy.error());
  if (!policy->policy.tor) return fail(ErrorKind::kUsage, "bench needs a policy with [tor]: its flows are Tor's");
  const Uid tor = policy->policy.tor->user.uid;
  const auto owner = std::ranges::find_if(policy->view.owners, [&](const OwnerTag& tag) {
    const auto* uid = std::get_if<Uid>(&tag.owner);
    return uid != nullptr && *uid == tor;
  });
  const uint8_t tag = owner == policy->view.owners.end() ? uint8_t{0} : owner->tag;

  const std::vector<fastpath::dpdk::PortName> ports = {
      *fastpath::dpdk::read_port_name("net_null0,size=64,copy=0", "inside"),
      *fastpath::dpdk::read_port_name("net_null1,size=64,copy=0", "outside")};
  std::vector<std::string> given = arguments.operands();
  given.emplace_back("--no-telemetry");
  const auto told = fastpath::dpdk::eal_arguments(ports, given, invocation.global.verbosity > 0);
  if (!told.has_huge_pages) log::notice("no free huge pages: measured in ordinary memory, about a tenth slower");
  const auto eal = fastpath::dpdk::Eal::start(told.words);
  if (!eal) return tl::unexpected(eal.error());
  auto rules = fastpath::FilterRules::make(policy->rules, policy->view, fastpath::dpdk::make_acl);
  if (!rules) return tl::unexpected(rules.error());
  auto nic = SoftwareNic::open();
  if (!nic) return tl::unexpected(nic.error());
  auto memory = fastpath::Memory::map(FlowTable::bytes_for(**flows));
  if (!memory) return tl::unexpected(memory.error());
  Pipeline pipeline(*rules, FlowTable(*std::move(memory), 42));
  const bool is_terminal = ::isatty(STDERR_FILENO) == 1 && invocation.global.verbosity >= 0;
  const auto progress = [&](std::string_view what, unsigned done, unsigned all) {
    if (is_terminal) fmt::print(stderr, "\r{:<28} {:>3} %\x1b[K", what, 100 * done / all);
  };
  progress("opening the flows", 0, 1);
  establish(pipeline, **flows, tag);

  constexpr size_t kTraceFrames = size_t{1} << 20;
  const Trace settled = make_trace(kTraceFrames, **flows, tag, 0);
  const Trace mixed = make_trace(kTraceFrames, **flows, tag, **leak_percent);
  std::vector<Measure> measures = {{"software-nic-io", 0, false, {}},
                                   {"pipeline-established", 0, true, {}},
                                   {"pipeline-leaks", **leak_percent, true, {}}};
  const unsigned rounds = **trials;
  const double seconds = static_cast<double>(**duration) / static_cast<double>(rounds * measures.size());
  for (unsigned trial = 0; trial < rounds; ++trial) {
    progress("measuring", trial, rounds);
    // In turn: a machine that is busy with something else slows all of them.
    for (Measure& measure : measures) {
      const Trace& trace = measure.leak_percent == 0 ? settled : mixed;
      measure.runs.push_back(measure.filters ? nic->filter(pipeline, trace, seconds) : nic->forward(trace, seconds));
    }
  }
  if (is_terminal) fmt::print(stderr, "\r\x1b[K");

  const double io = measures.front().median();
  bool is_stable = true, is_right = true;
  std::vector<uint32_t> burst_ns;
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  using Align = TextTable::Align;
  TextTable table({{"what"},
                   {"Mpps", Align::kRight},
                   {"least", Align::kRight},
                   {"most", Align::kRight},
                   {"ns/frame", Align::kRight},
                   {"of io", Align::kRight},
                   {"leaked", Align::kRight},
                   {"wrongly blocked", Align::kRight}});
  for (const Measure& measure : measures) {
    const std::vector<double> rates = measure.rates();
    const double median = measure.median();
    is_stable = is_stable && rates.back() - rates.front() < 0.1 * median;
    is_right = is_right && measure.leaked() + measure.wrongly_blocked() == 0;
    for (const Run& run : measure.runs) {
      if (measure.leak_percent != 0) burst_ns.insert(burst_ns.end(), run.burst_ns.begin(), run.burst_ns.end());
    }
    results.push_back({{"name", measure.name},
                       {"leak_percent", measure.leak_percent},
                       {"mpps", {{"median", median}, {"min", rates.front()}, {"max", rates.back()}}},
                       {"ns_per_packet", 1000 / median},
                       {"leaked", measure.leaked()},
                       {"wrongly_blocked", measure.wrongly_blocked()},
                       {"ratio_to", {{"software-nic-io", median / io}}}});
    table.add({{measure.name + (measure.leak_percent == 0 ? "" : fmt::format(", {} % leaks", measure.leak_percent))},
               {fmt::format("{:.2f}", median), Ink::kStrong},
               {fmt::format("{:.2f}", rates.front())},
               {fmt::format("{:.2f}", rates.back())},
               {fmt::format("{:.1f}", 1000 / median)},
               {fmt::format("{:.2f}", median / io)},
               {std::to_string(measure.leaked()), measure.leaked() == 0 ? Ink::kGood : Ink::kBad},
               {std::to_string(measure.wrongly_blocked()), measure.wrongly_blocked() == 0 ? Ink::kGood : Ink::kBad}});
  }
  std::ranges::sort(burst_ns);
  utsname kernel{};
  ::uname(&kernel);
  if (invocation.global.json) {
    const nlohmann::ordered_json json{
        {"machine",
         {{"processor", processor()}, {"kernel", kernel.release}, {"huge_pages", told.has_huge_pages}, {"cores", 1}}},
        {"commit", TAILS_COMMIT},
        {"policy", policy->policy.name},
        {"flows", **flows},
        {"trials", rounds},
        {"stable", is_stable},
        {"results", results},
        {"latency_us",
         {{"p50", percentile(burst_ns, 0.5) * 1e-3},
          {"p99", percentile(burst_ns, 0.99) * 1e-3},
          {"p999", percentile(burst_ns, 0.999) * 1e-3}}}};
    print(json.dump(2) + "\n");
  } else {
    print(fmt::format("{}, policy \"{}\", {} flows, 64-byte frames, {} trials in turn\n{}", processor(),
                      policy->policy.name, **flows, rounds, table.render(invocation.out)));
    print(fmt::format("a burst of {} takes {:.1f} us (median), {:.1f} (99 %), {:.1f} (99.9 %)\n", fastpath::kBurst,
                      percentile(burst_ns, 0.5) * 1e-3, percentile(burst_ns, 0.99) * 1e-3,
                      percentile(burst_ns, 0.999) * 1e-3));
    if (!is_stable) print("Not stable: the trials lie more than a tenth apart. Something else runs on this machine.\n");
  }
  return is_right ? ExitStatus::kDone : ExitStatus::kNo;
}

}  // namespace tails::cli
