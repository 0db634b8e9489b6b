#include "cli/fastpath_run.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/log.h"
#include "cli/text_table.h"
#include "cli/wire_policy.h"
#include "fastpath/dpdk/acl.h"
#include "fastpath/dpdk/eal.h"
#include "fastpath/dpdk/filter.h"
#include "fastpath/dpdk/telemetry.h"
#include "net/errno_words.h"

namespace tails::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;
using fastpath::Counters;
using fastpath::FilterRules;

struct Compiled {
  std::string policy;
  std::shared_ptr<const FilterRules> rules;
};

Result<Compiled> compile(const Invocation& invocation) {
  const Clock::time_point start = Clock::now();
  const auto loaded = load_wire_policy(invocation.global, *invocation.arguments.value("--owner"));
  if (!loaded) return tl::unexpected(loaded.error());
  const Clock::time_point read = Clock::now();
  auto rules = FilterRules::make(loaded->rules, loaded->view, fastpath::dpdk::make_acl);
  if (!rules) return tl::unexpected(rules.error());
  log::debug(fmt::format("policy \"{}\": read and proved in {:.1f} ms, compiled in {:.1f} ms", loaded->policy.name,
                         Milliseconds(read - start).count(), Milliseconds(Clock::now() - read).count()));
  return Compiled{loaded->policy.name, *std::move(rules)};
}

/// What the kernel would say at a port by itself.
void warn_of_addresses(const std::vector<fastpath::dpdk::PortName>& ports) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return;
  for (const auto& port : ports) {
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
      if (port.interface != one->ifa_name || one->ifa_addr == nullptr) continue;
      const int family = one->ifa_addr->sa_family;
      if (family != AF_INET && family != AF_INET6) continue;
      log::warning(fmt::format("{} has an {} address: this machine's kernel speaks there, past the filter",
                               port.interface, family == AF_INET ? "IPv4" : "IPv6"));
      break;
    }
  }
  freeifaddrs(all);
}

/// In place of the old file at once, so that no reader sees half of it.
Result<void> write_file(const std::string& path, const std::string& text) {
  const std::string beside = path + ".new";
  std::ofstream file(beside, std::ios::trunc);
  file << text;
  file.close();
  if (file.fail() || std::rename(beside.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    return fail(ErrorKind::kRefused, fmt::format("cannot write {}: {}", path, errno_words(reason)), {}, reason);
  }
  return {};
}

/// Every reason for which a filter drops a fragment before its packet is whole.
template <class Each>
void for_each_dropped(const fastpath::FragmentCounts& counts, Each&& each) {
  for (size_t i = 0; i < fastpath::kFragmentFaultCount; ++i) {
    const auto fault = static_cast<fastpath::FragmentFault>(i);
    if (fault != fastpath::FragmentFault::kUnfinished) each(name(fault), counts.dropped.at(i));
  }
}

nlohmann::ordered_json counters_json(const Counters& counters) {
  nlohmann::ordered_json json;
  for (size_t i = 0; i < fastpath::kOutcomeCount; ++i) {
    json["outcomes"][std::string(name(static_cast<fastpath::Outcome>(i)))] = counters.outcomes.at(i).packets;
  }
  json["entries"] = nlohmann::ordered_json::array();
  for (const auto& [who, count] : counters.entries) {
    json["entries"].push_back({{"entry", who.entry},
                               {"origin", who.origin},
                               {"verdict", fastpath::name(who.verdict)},
                               {"packets", count.packets},
                               {"bytes", count.bytes}});
  }
  if (counters.fragments) {
    nlohmann::ordered_json& fragments = json["fragments"];
    fragments = {{"received", counters.fragments->taken.packets},
                 {"joined", counters.fragments->whole.packets},
                 {"held", counters.fragments->held},
                 {"packets", counters.fragments->packets}};
    for_each_dropped(*counters.fragments, [&](std::string_view reason, const fastpath::Count& count) {
      fragments["dropped"][std::string(reason)] = count.packets;
    });
  }
  json["received"] = {{"inside", counters.received[0]}, {"outside", counters.received[1]}};
  json["sent"] = {{"inside", counters.sent[0]}, {"outside", counters.sent[1]}};
  json["not_sent"] = counters.not_sent;
  json["missed"] = counters.missed;
  json["unusable"] = counters.unusable;
  json["refusals"] = counters.refusals;
  json["flows"] = counters.flows;
  json["policies"] = counters.policies;
  return json;
}

std::string summary(const Counters& counters, const Screen& screen) {
  using Align = TextTable::Align;
  TextTable table({{"frames", Align::kRight}, {"bytes", Align::kRight}, {"verdict"}, {"entry or reason"}, {"origin"}});
  for (const auto& [who, count] : counters.entries) {
    table.add({{std::to_string(count.packets)},
               {std::to_string(count.bytes)},
               {std::string(fastpath::name(who.verdict)), who.verdict == Verdict::kAccept ? Ink::kGood : Ink::kBad},
               {who.entry},
               {who.origin, Ink::kFaint}});
  }
  for (size_t i = 0; i < fastpath::kOutcomeCount; ++i) {
    const auto outcome = static_cast<fastpath::Outcome>(i);
    const fastpath::Count& count = counters.outcomes.at(i);
    if (count.packets == 0 || outcome == fastpath::Outcome::kAccepted || outcome == fastpath::Outcome::kBlocked)
      continue;
    table.add({{std::to_string(count.packets)},
               {std::to_string(count.bytes)},
               {passes(outcome) ? "pass" : "drop"},
               {std::string(name(outcome))},
               {""}});
  }
  if (counters.fragments) {
    for_each_dropped(*counters.fragments, [&](std::string_view reason, const fastpath::Count& count) {
      if (count.packets == 0) return;
      table.add({{std::to_string(count.packets)},
                 {std::to_string(count.bytes)},
                 {"drop"},
                 {fmt::format("fragment: {}", reason)},
                 {""}});
    });
  }
  std::string text = table.empty() ? "No frame came.\n" : table.render(screen);
  if (counters.fragments && counters.fragments->taken.packets != 0) {
    text += fmt::format("{} packets were put together from {} fragments", counters.fragments->packets,
                        counters.fragments->whole.packets);
    text += counters.fragments->held == 0 ? ".\n" : fmt::format("; {} fragments wait.\n", counters.fragments->held);
  }
  const uint64_t lost = counters.not_sent + counters.missed + counters.unusable;
  if (lost != 0) text += fmt::format("{} frames were lost at the ports.\n", lost);
  return text;
}

/// What is done beside the filtering: signals, new policies, the file of counters.
class Control {
 public:
  Control(const Invocation& invocation, fastpath::dpdk::Filter& filter, std::atomic<bool>& stop)
      : invocation_(invocation), filter_(filter), stop_(stop) {}

  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGHUP, SIGTERM, SIGINT}) sigaddset(&set, signal);
    return set;
  }

  void run() {
    const sigset_t set = signals();
    while (!stop_) {
      const timespec patience{is_waiting_ ? 0 : 1, is_waiting_ ? 5'000'000 : 0};
      const int signal = sigtimedwait(&set, nullptr, &patience);
      if (signal == SIGTERM || signal == SIGINT) stop_ = true;
      if (signal == SIGHUP) reload();
      if (is_waiting_ && filter_.is_settled()) {
        is_waiting_ = false;
        log::notice(fmt::format("policy \"{}\" is in force", waiting_));
      }
      if (!is_waiting_) write_counters();
    }
  }

  void write_counters() {
    const auto path = invocation_.arguments.value("--prometheus");
    if (!path) return;
    const auto written = write_file(std::string(*path), prometheus_text(filter_.counters()));
    // Said once: the filter goes on.
    if (!written && !has_complained_) log::error(written.error());
    has_complained_ = !written;
  }

 private:
  void reload() {
    const Result<Compiled> compiled = compile(invocation_);
    if (!compiled) {
      log::error(compiled.error());
      log::warning("the policy stays as it was");
      return;
    }
    waiting_ = compiled->policy;
    is_waiting_ = true;
    filter_.set_rules(compiled->rules);
  }

  const Invocation& invocation_;
  fastpath::dpdk::Filter& filter_;
  std::atomic<bool>& stop_;
  std::string waiting_;
  bool is_waiting_ = false;
  bool has_complained_ = false;
};

}  // namespace

Result<ExitStatus> run_filter(const Invocation& invocation) {
  const Arguments& arguments = invocation.arguments;
  std::vector<fastpath::dpdk::PortName> ports;
  for (const std::string_view side : {"inside", "outside"}) {
    auto port = fastpath::dpdk::read_port_name(*arguments.value("--" + std::string(side)), side);
    if (!port) return tl::unexpected(port.error());
    ports.push_back(*std::move(port));
  }
  if (ports[0].device == ports[1].device || (!ports[0].interface.empty() && ports[0].interface == ports[1].interface)) {
    return fail(ErrorKind::kUsage, "inside and outside are the same port");
  }
  for (const auto& port : ports) {
    if (!arguments.has("--reassemble") || !port.device.starts_with("net_af_packet")) continue;
    return fail(ErrorKind::kUsage,
                fmt::format("--reassemble does not work at {}: by AF_PACKET the kernel puts fragments together itself, "
                            "and what does not fit one frame then is lost",
                            port.interface.empty() ? port.device : port.interface),
                port.interface.empty()
                    ? "Take a NIC that is bound to DPDK, or AF_XDP."
                    : fmt::format("Take a NIC that is bound to DPDK, or af_xdp:{}.", port.interface));
  }
  const auto flows = arguments.number("--flows", 1, 1'000'000'000);
  if (!flows) return tl::unexpected(flows.error());

  // Before any thread is there, so that none of them takes the signals.
  const sigset_t signals = Control::signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  warn_of_addresses(ports);
  const auto told = fastpath::dpdk::eal_arguments(ports, arguments.operands(), invocation.global.verbosity > 0);
  if (!told.has_huge_pages) log::debug("no free huge pages: ordinary memory, about a tenth slower");
  const auto eal = fastpath::dpdk::Eal::start(told.words);
  if (!eal) return tl::unexpected(eal.error());
  const Result<Compiled> compiled = compile(invocation);
  if (!compiled) return tl::unexpected(compiled.error());

  constexpr unsigned kBuffers = 16383;
  const auto pool = fastpath::dpdk::PacketPool::make("frames", kBuffers);
  if (!pool) return tl::unexpected(pool.error());
  auto inside = fastpath::dpdk::Port::open(ports[0].device, *pool);
  if (!inside) return tl::unexpected(inside.error());
  auto outside = fastpath::dpdk::Port::open(ports[1].device, *pool);
  if (!outside) return tl::unexpected(outside.error());
  auto filter = fastpath::dpdk::Filter::make(*std::move(inside), *std::move(outside), *pool, compiled->rules,
                                             {.flows = **flows,
                                              .answers = arguments.has("--reject"),
                                              .reassembles = arguments.has("--reassemble"),
                                              .spins = arguments.has("--spin")});
  if (!filter) return tl::unexpected(filter.error());

  std::atomic<bool> stop = false;
  {
    const fastpath::dpdk::Telemetry telemetry([&] { return (*filter)->counters(); });
    Control control(invocation, **filter, stop);
    std::thread beside([&] {
      eal->leave_core();
      control.run();
    });
    if (!invocation.global.json && invocation.global.verbosity >= 0) {
      print(
          fmt::format("Filtering \"{}\" between {} (inside) and {} (outside). SIGHUP reads the policy again, SIGTERM "
                      "ends; then nothing passes.\n",
                      compiled->policy, *arguments.value("--inside"), *arguments.value("--outside")));
    }
    (*filter)->run(stop);
    beside.join();
    control.write_counters();
  }
  const Counters counters = (*filter)->counters();
  if (invocation.global.json) {
    print(counters_json(counters).dump() + "\n");
  } else if (invocation.global.verbosity >= 0) {
    print(summary(counters, invocation.out));
  }
  return ExitStatus::kDone;
}

}  // namespace tails::cli
