#include "tests/kernel/soak.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "net/frame_builder.h"
#include "policy/lower_owner_tags.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr const char* kPolicies[] = {"/run/a.toml", "/run/b.toml"};
constexpr wire::MacAddress kNetworkMac{0x02, 0, 0, 0, 0, 0x99};

/// What both policies forbid.
const std::array<Attempt, 4> kForbiddenAttempts = {{
    {"TCP past Tor", uid::kAmnesia, protocol::kTcp, {kOtherInternet, Port{80}}},
    {"DNS past Tor", uid::kAmnesia, protocol::kUdp, {kInternet, Port{53}}},
    {"LAN DNS of a stranger", uid::kStranger, protocol::kUdp, {kLanResolver, Port{53}}},
    {"TCP by IPv6", uid::kAmnesia, protocol::kTcp, {kInternetV6, Port{443}}},
}};
/// What both allow.
const Attempt kStream{"the stream", uid::kTor, protocol::kTcp, {kInternet, Port{443}}};
const Attempt kStorm{"the storm", uid::kTor, protocol::kTcp, {kInternet, Port{9001}}};
/// Put on the cable past the machine's kernel, with the owners' tags. The filter lets through the first one and not the
/// other.
const Attempt kTagged{"tagged frames of Tor's", uid::kTor, protocol::kUdp, {kOtherInternet, Port{53}}};
const Attempt kRogue{"tagged frames of clearnet's", uid::kClearnet, protocol::kUdp, {kOtherInternet, Port{123}}};
constexpr Port kTaggedFrom{7000}, kRogueFrom{6000}, kRogueUpTo{6999};

bool is_tagged(const Packet& packet) { return is_of(kTagged, packet) && packet.source_port == kTaggedFrom; }
bool is_rogue(const Packet& packet) {
  return is_of(kRogue, packet) && packet.source_port >= kRogueFrom && packet.source_port <= kRogueUpTo;
}

/// "" where it is none that anyone forbids.
std::string whose(const Frame& frame) {
  const auto packet = dissect(frame.bytes);
  if (!packet) return "what is no packet";
  if (is_of(kStream, *packet) || is_of(kStorm, *packet) || is_tagged(*packet)) return "";
  if (is_rogue(*packet)) return kRogue.name;
  for (const Attempt& attempt : kForbiddenAttempts) {
    if (is_of(attempt, *packet)) return attempt.name;
  }
  return "other: " + describe(*packet);
}

int64_t now_ms() { return std::chrono::duration_cast<milliseconds>(Clock::now().time_since_epoch()).count(); }

size_t count_of(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

void replace_file(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  std::filesystem::rename(path + ".new", path);
}

/// The profile `tails`; `clearnet_out`: what the user clearnet may send.
std::string policy_text(const std::string& clearnet_out) {
  std::string text = content(TAILS_POLICIES "/tails.toml");
  const std::string resolver = "/etc/resolv-over-clearnet.conf";
  text.replace(text.find(resolver), resolver.size(), "/run/resolv-over-clearnet.conf");
  const std::string before = "user = \"clearnet\"\nout = [";
  const size_t at = text.find(before) + before.size();
  return text.replace(at, text.find(']', at) - at, clearnet_out);
}

size_t kib_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string word; file >> word;) {
    size_t kib = 0;
    if (word == "VmRSS:" && file >> kib) return kib;
  }
  return 0;
}

size_t kib_of_run() {
  size_t bytes = 0;
  std::error_code gone;  // Files come and go meanwhile.
  for (std::filesystem::recursive_directory_iterator at("/run/tails-iptc", gone), end; !gone && at != end;
       at.increment(gone)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) bytes += at->file_size(ignored);
  }
  return bytes / 1024;
}

std::string ended_as(const Finished& done) { return "ended with " + std::to_string(done.status) + ": " + done.err; }

}  // namespace

bool has_grown(size_t first_half, size_t second_half, size_t slack) {
  return second_half > first_half + first_half / 10 + slack;
}

std::string Soak::name_of(size_t worker) {
  if (worker < kAppliers) return "apply " + std::to_string(worker);
  if (worker < kAppliers + kReconfigurers) return "reconfigure " + std::to_string(worker - kAppliers);
  return "netns up and down";
}

std::vector<std::string> Soak::next_words(size_t worker, size_t round) const {
  std::vector<std::string> words = {TAILS_IPTC_PROGRAM, "--user-map", std::string(kAccounts), "--json", "--wait", "60"};
  const auto add = [&](std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (worker < kAppliers) {
    add({"--policy", kPolicies[(worker + round) % 2], "apply", "--tag-owners", "dscp"});
  } else if (worker < kAppliers + kReconfigurers) {
    add({"reconfigure"});
  } else {
    add({"netns", round % 2 == 0 ? "up" : "down"});
  }
  return words;
}

std::string Soak::work(Worker& me, size_t number) {
  for (size_t round = 0; !shared_->shall_end; ++round) {
    const auto done = run({.arguments = next_words(number, round)});
    if (!done) return done.error().message;
    if (done->status != 0) return ended_as(*done);
    if (number < kAppliers + kReconfigurers) {
      const auto json = nlohmann::json::parse(done->out, nullptr, false);
      if (json.is_discarded() || !json.contains("foreign_rules")) return "says " + done->out;
      for (const auto& rule : json.at("foreign_rules")) {
        for (const size_t edit : edits_in(rule.at("rule").get<std::string>())) ++shared_->named[edit];
      }
    }
    rusage used{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    me.most_kib = static_cast<size_t>(used.ru_maxrss);
    ++me.runs;
    me.ended_ms = now_ms();
  }
  return "";
}

Result<std::string> Soak::put_rogue_frames() {
  auto tags = policy::owner_tags(policy_);
  if (!tags) return tl::unexpected(tags.error());
  const auto frame = [&](const Attempt& attempt, const char* owner, Port from) {
    wire::FrameSpec spec;
    spec.destination_mac = kNetworkMac;
    spec.source = kHostInternet;
    spec.source_port = from;
    spec.destination = attempt.to.address;
    spec.destination_port = attempt.to.port;
    spec.protocol = attempt.protocol;
    spec.tos = static_cast<uint8_t>(std::ranges::find(*tags, owner, &OwnerTag::name)->tag << 2);
    return wire::build_frame(spec);
  };
  const auto tagged = frame(kTagged, "debian-tor", kTaggedFrom);
  const Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
  const auto put = [&](const std::vector<std::byte>& bytes) {
    ::sendto(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  };
  for (Port from = kRogueFrom; !shared_->shall_end; from = from == kRogueUpTo ? kRogueFrom : Port(from + 1)) {
    put(tagged);
    put(frame(kRogue, "clearnet", from));
    ++shared_->rogue;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return "";
}

void Soak::write_filter_policy(const std::string& clearnet_udp) {
  replace_file(scratch_.path() + "/policy.toml",
               policy_text(clearnet_udp.empty() ? "\"tcp\"" : "\"tcp\", \"" + clearnet_udp + "\""));
}

void Soak::SetUp() {
  WireFilter::SetUp();
  if (HasFatalFailure() || IsSkipped()) return;
  ASSERT_NO_FATAL_FAILURE(take_private_run());
  // What a sanitizer keeps of freed memory is no leak; and to look for leaks takes half of a run.
  ::setenv("ASAN_OPTIONS", "quarantine_size_mb=4:detect_leaks=0", 0);
  replace_file(kPolicies[0], policy_text("\"tcp\", \"udp/53\""));
  replace_file(kPolicies[1], policy_text("\"tcp\""));
  ip_batch(*network_, "link set dev wire0 address 02:00:00:00:00:99\n");
  ip_batch(*machine_,
           "neigh replace 192.0.2.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n"
           "addr add 2001:db8::10/64 dev eth0 nodad\n"
           "neigh replace 2001:db8::1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent\n"
           "route add default via 2001:db8::1\n");
  auto cable = Wire::watch(*filter_space_);
  TAILS_ASSERT_OK(cable);
  cable_.emplace(std::move(*cable));
}

void Soak::begin(milliseconds patience) {
  patience_ = patience;
  const Inside inside(*machine_);
  for (size_t i = 0; i < kForbidden; ++i) {
    auto sender = InBackground::start(kForbiddenAttempts[i].user, [&, i] {
      return try_again_and_again(kForbiddenAttempts[i], shared_->attempts[i], shared_->shall_end, milliseconds(1));
    });
    TAILS_ASSERT_OK(sender);
    senders_.push_back(std::move(*sender));
  }
  auto rogue = InBackground::start(Uid{0}, [&] {
    const auto said = put_rogue_frames();
    return said ? *said : said.error().message;
  });
  TAILS_ASSERT_OK(rogue);
  senders_.push_back(std::move(*rogue));

  // The kernel has no rules yet, and the filter a policy that grants too much: each judge sees what it is to find.
  write_filter_policy("udp/123");
  ASSERT_NO_FATAL_FAILURE(start_filter());
  const auto deadline = Clock::now() + kPatience;
  const auto are_all_seen = [&] {
    return std::ranges::all_of(kForbiddenAttempts,
                               [&](const Attempt& one) { return findings_.out_of_the_kernel.contains(one.name); }) &&
           findings_.through_the_filter.contains(kRogue.name);
  };
  while (!are_all_seen() && Clock::now() < deadline) {
    judge();
    std::this_thread::sleep_for(milliseconds(5));
  }
  for (const Attempt& attempt : kForbiddenAttempts)
    ASSERT_GT(findings_.out_of_the_kernel[attempt.name], 0U) << attempt.name;
  ASSERT_GT(findings_.through_the_filter[kRogue.name], 0U);

  const auto applied = run({.arguments = next_words(0, 0)});
  TAILS_ASSERT_OK(applied);
  ASSERT_EQ(applied->status, 0) << applied->err;
  write_filter_policy("");
  swap_policy();
  ASSERT_TRUE(wait_for_text(err(), "is in force", *filter_)) << content(err());
  // What was under way is over, and all is counted from here on.
  std::this_thread::sleep_for(milliseconds(200));
  judge();
  findings_ = {};

  {
    const Inside network(*network_);
    auto listener = listen_tcp(kStream.to);
    TAILS_ASSERT_OK(listener);
    auto started = InBackground::start(Uid{0}, [&] { return echo(listener->get()); });
    TAILS_ASSERT_OK(started);
    server_.emplace(std::move(*started));
  }
  auto client =
      InBackground::start(kStream.user, [&] { return stream(kStream.to, shared_->streamed, shared_->shall_end); });
  TAILS_ASSERT_OK(client);
  client_.emplace(std::move(*client));
  while (shared_->streamed == 0 && Clock::now() < deadline + kPatience) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_GT(shared_->streamed, 0U);

  auto storm = InBackground::start(kStorm.user, [&] {
    return try_again_and_again(kStorm, shared_->stormed, shared_->shall_end, std::chrono::microseconds(500));
  });
  TAILS_ASSERT_OK(storm);
  senders_.push_back(std::move(*storm));
  auto editor = InBackground::start(Uid{0}, [&] { return edit_with_the_tool(shared_->log); });
  TAILS_ASSERT_OK(editor);
  editor_.emplace(std::move(*editor));
  for (size_t i = 0; i < kWorkers; ++i) {
    shared_->workers[i].ended_ms = now_ms();
    auto worker = InBackground::start(Uid{0}, [&, i] { return work(shared_->workers[i], i); });
    TAILS_ASSERT_OK(worker);
    workers_.push_back(std::move(*worker));
  }
}

void Soak::judge() {
  auto on_cable = cable_->drain();
  ASSERT_TRUE(on_cable) << on_cable.error().message;
  for (const Frame& frame : *on_cable) {
    // The same namespace has the filter's other port.
    if (frame.interface.view() != "inside") continue;
    const std::string name = whose(frame);
    if (!name.empty() && name != kRogue.name) ++findings_.out_of_the_kernel[name];
  }
  for (const Frame& frame : drain()) {
    const std::string name = whose(frame);
    if (!name.empty()) ++findings_.through_the_filter[name];
  }
  for (Wire* const wire : {&*cable_, &*wire_}) findings_.unseen_frames += wire->lost().value_or(1);
}

void Soak::swap_policy() {
  filter_->signal(SIGHUP);
  ++swaps_;
  swapped_ = Clock::now();
}

void Soak::watch_progress() {
  const auto complain = [&](const std::string& who) {
    auto& all = findings_.stood_still;
    if (std::ranges::find(all, who) == all.end()) all.push_back(who);
  };
  for (size_t i = 0; i < kWorkers; ++i) {
    if (now_ms() - shared_->workers[i].ended_ms > patience_.count()) complain(name_of(i));
  }
  if (count_of(content(err()), "is in force") >= swaps_) {
    if (Clock::now() - swapped_ < milliseconds(500)) return;
    write_filter_policy(swaps_ % 2 == 0 ? "" : "udp/53");
    swap_policy();
  } else if (Clock::now() - swapped_ > patience_) {
    complain("the filter's new policy");
  }
}

void Soak::take_samples(bool is_second_half) {
  const size_t half = is_second_half ? 1 : 0;
  filter_kib_[half] = std::max(filter_kib_[half], kib_of(filter_->id()));
  files_kib_[half] = std::max(files_kib_[half], kib_of_run());
  for (const Worker& worker : shared_->workers) {
    workers_kib_[half] = std::max<size_t>(workers_kib_[half], worker.most_kib);
  }
}

void Soak::go_on(milliseconds duration) {
  const auto start = Clock::now();
  auto looked = start;
  for (auto now = start; now < start + duration; now = Clock::now()) {
    ASSERT_NO_FATAL_FAILURE(judge());
    ASSERT_TRUE(filter_->lives()) << content(out()) << content(err());
    if (now - looked > milliseconds(200)) {
      looked = now;
      watch_progress();
      take_samples(now > start + duration / 2);
    }
    std::this_thread::sleep_for(milliseconds(10));
  }
  const auto compare = [&](const char* what, const std::array<size_t, 2>& kib, size_t slack) {
    std::printf("%s: at most %zu KiB in the first half, %zu KiB in the second\n", what, kib[0], kib[1]);
    if (has_grown(kib[0], kib[1], slack)) findings_.growth.emplace_back(what);
  };
  compare("the filter", filter_kib_, 4096);
  compare("a run of tails-iptc", workers_kib_, 4096);
  compare("files of tails-iptc in /run", files_kib_, 256);
}

void Soak::give_account_of_edits() {
  const auto live = run_checked({.arguments = {"iptables-legacy-save", "-t", "filter"}});
  TAILS_ASSERT_OK(live);
  const std::set<size_t> at_end = edits_in(*live);
  const EditLog& log = shared_->log;
  size_t added = 0, deleted = 0, named = 0, left = 0;
  for (size_t edit = 0; edit < log.edits; ++edit) {
    if (log.added[edit] == 0) continue;
    ++added;
    const size_t by_itself = log.deleted[edit] ? 1 : 0, by_us = shared_->named[edit], is_left = at_end.count(edit);
    deleted += by_itself, named += by_us, left += is_left;
    if (by_itself + by_us + is_left == 1) continue;
    findings_.lost_updates.push_back("the rule for " + address_of(edit) + ": deleted by its program " +
                                     std::to_string(by_itself) + " times, named by us " + std::to_string(by_us) +
                                     ", still live " + std::to_string(is_left));
  }
  std::printf("rules of the other program %zu: deleted by itself %zu, removed and named %zu, live at the end %zu\n",
              added, deleted, named, left);
}

void Soak::finish() {
  const Inside inside(*machine_);
  shared_->log.shall_end = true;
  shared_->shall_end = true;
  const auto end = [&](InBackground& process, const std::string& name) {
    const auto said = process.finish();
    if (!said || !said->empty()) findings_.failures.push_back(name + " " + (said ? *said : said.error().message));
  };
  size_t applied = 0, reconfigured = 0;
  for (size_t i = 0; i < kWorkers; ++i) {
    end(workers_[i], name_of(i));
    const size_t runs = shared_->workers[i].runs;
    EXPECT_GT(runs, 0U) << name_of(i);
    (i < kAppliers ? applied : reconfigured) += i < kWorkers - 1 ? runs : 0;
  }
  end(*editor_, "iptables -w");
  for (InBackground& sender : senders_) end(sender, "a sender");
  const auto sent = client_->finish();
  const auto received = server_->finish();
  if (!sent || !received || *sent != *received) {
    findings_.failures.push_back("the stream: sent " + sent.value_or("?") + ", received " + received.value_or("?"));
  }
  judge();
  std::printf(
      "apply %zu, reconfigure %zu, netns up or down %zu, policy swaps %zu, connections %zu, stream %zu bytes, "
      "rogue frames %zu, forbidden attempts",
      applied, reconfigured, static_cast<size_t>(shared_->workers[kWorkers - 1].runs), swaps_,
      static_cast<size_t>(shared_->stormed), static_cast<size_t>(shared_->streamed),
      static_cast<size_t>(shared_->rogue));
  for (size_t i = 0; i < kForbidden; ++i) std::printf(" %zu", static_cast<size_t>(shared_->attempts[i]));
  std::printf("\n");
  give_account_of_edits();
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
}

}  // namespace tails::testbed
