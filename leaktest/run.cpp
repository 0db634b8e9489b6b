#include "leaktest/run.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "leaktest/bed.h"
#include "leaktest/packets.h"
#include "leaktest/sender.h"
#include "leaktest/services.h"
#include "leaktest/sightings.h"
#include "leaktest/wire.h"
#include "net/errno_words.h"

namespace tails::leaktest {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// A round is over when the marks at its end have come out of every cable; this is for a machine that stands still.
constexpr milliseconds kForTheMarks{3000};

/// One run of the plan.
class Run {
 public:
  Run(const policy::Policy& policy, const Plan& plan, const Bed& bed, const Services& services,
      const Progress& progress)
      : plan_(plan), bed_(bed), services_(services), progress_(progress), sightings_(policy, plan, bed) {}

  Result<Matrix> go() && {
    if (auto done = open_wires(); !done) return tl::unexpected(done.error());
    for (unsigned round = 0; round < plan_.rounds; ++round) {
      if (auto done = play(round); !done) return tl::unexpected(done.error());
    }
    return std::move(sightings_).judge();
  }

 private:
  /// A place that is watched, and its name in a case.
  struct Watched {
    std::string place;  ///< "outside", "lo", or a guest.
    Wire wire;
    size_t marks_wanted = 0;
    size_t marks = 0;
  };

  Result<void> open_wires() {
    const auto open = [&](std::string place, const Descriptor& space, Wire::Role role, bool loopback) -> Result<void> {
      auto wire = Wire::open(space, role, loopback);
      if (!wire) return tl::unexpected(wire.error());
      watched_.push_back({std::move(place), std::move(*wire)});
      return {};
    };
    if (auto done = open("outside", bed_.outside, Wire::Role::kAnswers, false); !done) return done;
    if (auto done = open("lo", bed_.host, Wire::Role::kWatches, true); !done) return done;
    for (const auto& [name, guest] : bed_.guests) {
      if (auto done = open(name, guest.space, Wire::Role::kWatches, false); !done) return done;
    }
    auto marker = Wire::open(bed_.host, Wire::Role::kWatches, false);
    if (!marker) return tl::unexpected(marker.error());
    marker_.emplace(std::move(*marker));
    return {};
  }

  Result<void> play(unsigned round) {
    sightings_.begin_round(round);
    std::map<std::pair<std::string, uint32_t>, std::vector<const Case*>> by_account;
    std::vector<const Case*> injected;
    for (const Case& attempt : plan_.cases) {
      if (attempt.round != round) continue;
      if (attempt.means == Means::kInject) {
        injected.push_back(&attempt);
      } else {
        by_account[{attempt.place, attempt.uid->value}].push_back(&attempt);
      }
    }
    std::vector<Sender> senders;
    for (const auto& [who, cases] : by_account) {
      const Descriptor& space = who.first.empty() ? bed_.host : bed_.guests.at(who.first).space;
      auto sender = Sender::start(space, Uid{who.second}, cases);
      if (!sender) return tl::unexpected(sender.error());
      senders.push_back(std::move(*sender));
    }
    for (const Case* attempt : injected) {
      if (auto done = inject(*attempt); !done) return done;
      ++done_;
    }
    while (!senders.empty()) {
      if (auto done = turn(senders, milliseconds(1000)); !done) return done;
    }
    return wait_for_marks();
  }

  Result<void> inject(const Case& attempt) {
    const bool is_guest = bed_.guests.contains(attempt.place);
    const InterfaceName by = is_guest ? policy::kGuestInterface : *InterfaceName::make(attempt.place);
    return at(is_guest ? attempt.place : "outside").wire.inject(by, packet_of(attempt));
  }

  Watched& at(std::string_view place) { return *std::ranges::find(watched_, place, &Watched::place); }

  /// Waits a little for whatever happens, and takes it in. Senders that are done are taken out.
  Result<void> turn(std::vector<Sender>& senders, milliseconds patience) {
    std::vector<pollfd> ends;
    for (const Watched& each : watched_) ends.push_back({each.wire.descriptor(), POLLIN, 0});
    for (const Descriptor& each : services_.udp()) ends.push_back({each.get(), POLLIN, 0});
    const size_t first_sender = ends.size();
    for (const Sender& sender : senders) ends.push_back({sender.descriptor(), POLLIN, 0});
    if (::poll(ends.data(), ends.size(), static_cast<int>(patience.count())) < 0 && errno != EINTR) {
      const int number = errno;
      return fail(ErrorKind::kRefused, std::string("cannot wait: ") + errno_words(number), {}, number);
    }
    for (size_t i = 0; i < watched_.size(); ++i) {
      if (ends[i].revents == 0) continue;
      if (auto done = take(watched_[i]); !done) return done;
    }
    for (size_t i = watched_.size(); i < first_sender; ++i) {
      if (ends[i].revents != 0) Services::answer(ends[i].fd);
    }
    for (size_t i = ends.size(); i-- > first_sender;) {
      if (ends[i].revents == 0) continue;
      const auto sender = senders.begin() + static_cast<std::ptrdiff_t>(i - first_sender);
      if (const auto told = sender->hear()) {
        for (const Fate& fate : *told) sightings_.hear(fate);
        done_ += told->size();
        continue;
      }
      if (!sender->ended_well()) return fail(ErrorKind::kRefused, "a process of the leak test died");
      senders.erase(sender);
    }
    progress_("trying", done_, plan_.cases.size());
    return {};
  }

  Result<void> take(Watched& watched) {
    const auto frames = watched.wire.drain();
    if (!frames) return tl::unexpected(frames.error());
    for (const Frame& frame : *frames) {
      if (frame.token == kEndOfRound) {
        ++watched.marks;
      } else {
        sightings_.see(watched.place, frame);
      }
    }
    return {};
  }

  /// Behind everything that was sent a mark goes out by each cable, past all rules. When all have come, so has what was
  /// sent before.
  Result<void> wait_for_marks() {
    PacketSpec mark;
    mark.source = kHostInternet;
    mark.destination = kForeign;
    mark.protocol = protocol::kUdp;
    mark.payload = token_payload(kEndOfRound);
    const Bytes packet = compose(mark);
    std::vector<InterfaceName> cables{kEth0, kEth1};
    for (Watched& each : watched_) each.marks = each.marks_wanted = 0;
    at("outside").marks_wanted = cables.size();
    for (const auto& [name, guest] : bed_.guests) {
      cables.push_back(guest.host_interface);
      at(name).marks_wanted = 1;
    }
    for (const InterfaceName& cable : cables) {
      if (auto done = marker_->inject(cable, packet); !done) return done;
    }
    const auto deadline = Clock::now() + kForTheMarks;
    const auto is_over = [&] {
      return std::ranges::all_of(watched_, [](const Watched& each) { return each.marks >= each.marks_wanted; });
    };
    std::vector<Sender> nobody;
    while (!is_over()) {
      if (Clock::now() > deadline) return fail(ErrorKind::kRefused, "a cable of the leak test carries nothing");
      if (auto done = turn(nobody, milliseconds(50)); !done) return done;
    }
    // The kernel's own late words, and what another processor still holds.
    if (auto done = turn(nobody, milliseconds(10)); !done) return done;
    for (Watched& each : watched_) {
      if (auto done = take(each); !done) return done;
    }
    return {};
  }

  const Plan& plan_;
  const Bed& bed_;
  const Services& services_;
  const Progress& progress_;
  Sightings sightings_;
  std::vector<Watched> watched_;
  std::optional<Wire> marker_;
  size_t done_ = 0;
};

}  // namespace

struct LeakTest::Parts {
  policy::Policy policy;
  Plan plan;
  Bed bed;
  Services services;
  std::map<std::string, Services> guest_services;
};

LeakTest::LeakTest(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
LeakTest::LeakTest(LeakTest&&) noexcept = default;
LeakTest& LeakTest::operator=(LeakTest&&) noexcept = default;
LeakTest::~LeakTest() = default;

Result<LeakTest> LeakTest::prepare(const policy::Policy& policy, bool is_quick) {
  auto bed = Bed::build(policy);
  if (!bed) return tl::unexpected(bed.error());
  auto parts = std::make_unique<Parts>(Parts{policy, make_plan(policy, is_quick), std::move(*bed), {}, {}});
  const auto open = [](const Descriptor& space, Services& services, const std::vector<Port>& tcp,
                       const std::vector<Endpoint>& udp) {
    return inside(space, [&]() -> Result<void> {
      auto opened = Services::open(tcp, udp);
      if (!opened) return tl::unexpected(opened.error());
      services = std::move(*opened);
      return {};
    });
  };
  auto done = open(parts->bed.host, parts->services, parts->plan.tcp_services, parts->plan.udp_services);
  if (!done) return tl::unexpected(done.error());
  for (const auto& [name, guest] : parts->bed.guests) {
    done = open(guest.space, parts->guest_services[name], {8080}, {});
    if (!done) return tl::unexpected(done.error());
  }
  return LeakTest(std::move(parts));
}

Result<Matrix> LeakTest::run(const ruleset::Machine& machine, const Enforce& enforce, const Progress& progress) {
  progress("putting the rules in force", 0, 0);
  if (auto done = inside(parts_->bed.host, [&] { return enforce(machine.host); }); !done) {
    return tl::unexpected(done.error());
  }
  for (const auto& [name, guest] : parts_->bed.guests) {
    const auto rules = machine.guests.find(name);
    if (rules == machine.guests.end()) continue;
    auto done = inside(guest.space, [&] { return enforce(rules->second); });
    if (!done) return tl::unexpected(done.error());
  }
  return Run(parts_->policy, parts_->plan, parts_->bed, parts_->services, progress).go();
}

}  // namespace tails::leaktest
