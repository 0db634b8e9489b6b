#include "leaktest/run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include "leaktest/attempt.h"
#include "leaktest/bed.h"
#include "leaktest/wire.h"

namespace tails::leaktest {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// How long somebody who expects an answer waits for it. A refused connect(2) over IPv6 ends with the first
/// retransmission of its SYN, after a second (tcp_v6_err leaves a soft error while the socket is in use); all else that
/// makes it wait is a fault.
constexpr milliseconds kPatience{2500};
/// A round is over when the marks at its end have come out of every cable; this is for a machine that stands still.
constexpr milliseconds kForTheMarks{3000};

tl::unexpected<Error> refused(const std::string& what, int number) {
  return fail(ErrorKind::kRefused, what + ": " + std::strerror(number), {}, number);
}

/// Ends its processes when it goes.
class Child {
 public:
  Child(pid_t process, Descriptor fates) : process_(process), fates_(std::move(fates)) {}
  Child(Child&& other) noexcept : process_(std::exchange(other.process_, -1)), fates_(std::move(other.fates_)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(process_, other.process_);
    std::swap(fates_, other.fates_);
    return *this;
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (process_ < 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  [[nodiscard]] int fates() const { return fates_.get(); }
  /// After its last word: whether it ended well.
  bool ended_well() {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
    process_ = -1;
    return status == 0;
  }

 private:
  pid_t process_;
  Descriptor fates_;
};

/// The machine's local services: TCP connections are taken by the backlog, datagrams get one back.
struct Services {
  std::vector<Descriptor> tcp;
  std::vector<Descriptor> udp;
};

Result<Descriptor> listen_at(Port port) {
  // One socket for both families; IPv4 alone where the kernel has no IPv6.
  Descriptor socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int yes = 1, no = 0;
  bool is_bound = false;
  if (socket.is_open()) {
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in6 at{};
    at.sin6_family = AF_INET6;
    at.sin6_port = htons(port);
    is_bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  } else {
    socket = Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    is_bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  }
  if (!is_bound || ::listen(socket.get(), SOMAXCONN) != 0) {
    return refused("cannot listen at port " + std::to_string(port), errno);
  }
  return socket;
}

/// Nothing where the address is not the machine's, as with a kernel that has no IPv6.
std::optional<Descriptor> bind_udp(const Endpoint& at) {
  const bool is_v4 = at.address.family == Family::kIpv4;
  Descriptor socket(::socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(at.port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(at.port);
  if (is_v4) {
    at.address.to_wire(&v4.sin_addr);
  } else {
    at.address.to_wire(&v6.sin6_addr);
  }
  const int done = is_v4 ? ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&v4), sizeof v4)
                         : ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  if (done != 0) return std::nullopt;
  return socket;
}

void answer_datagrams(int socket) {
  std::array<char, 2048> question{};
  for (;;) {
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        ::recvfrom(socket, question.data(), question.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 0) return;
    // Without the question's token: this is no packet of the case. Answers are not answered.
    if (std::string_view(question.data(), static_cast<size_t>(size)) == kAnswer) continue;
    ::sendto(socket, kAnswer.data(), kAnswer.size(), 0, reinterpret_cast<const sockaddr*>(&from), length);
  }
}

}  // namespace

struct LeakTest::Parts {
  policy::Policy policy;
  Plan plan;
  Bed bed;
  Services services;
  std::map<std::string, Services> guest_services;
};

namespace {

/// One run of the plan.
class Run {
 public:
  Run(const policy::Policy& policy, const Plan& plan, const Bed& bed, const Services& services,
      const Progress& progress)
      : policy_(policy), plan_(plan), bed_(bed), services_(services), progress_(progress) {
    for (const Case& attempt : plan.cases) matrix_.outcomes.push_back({attempt, {}, Judgement::kAsMeant});
    matrix_.notices = plan.notices;
  }

  Result<Matrix> go() {
    if (auto done = open_wires(); !done) return tl::unexpected(done.error());
    for (unsigned round = 0; round < plan_.rounds; ++round) {
      if (auto done = play(round); !done) return tl::unexpected(done.error());
    }
    for (Outcome& outcome : matrix_.outcomes) {
      if (outcome.attempt.id != kNobody) outcome.judgement = judge(outcome.attempt, outcome.seen);
    }
    return std::move(matrix_);
  }

 private:
  static constexpr uint32_t kNobody = 0xFFFFFFFE;

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

  // ---- A round ----

  Result<void> play(unsigned round) {
    by_port_.clear();
    std::map<std::pair<std::string, uint32_t>, std::vector<const Case*>> by_account;
    std::vector<const Case*> injected;
    for (const Case& attempt : plan_.cases) {
      if (attempt.round != round) continue;
      by_port_[attempt.source.port] = attempt.id;
      if (attempt.means == Means::kInject) {
        injected.push_back(&attempt);
      } else {
        by_account[{attempt.place, attempt.uid->value}].push_back(&attempt);
      }
    }
    std::vector<Child> children;
    for (const auto& [who, cases] : by_account) {
      auto child = start(who.first, Uid{who.second}, cases);
      if (!child) return tl::unexpected(child.error());
      children.push_back(std::move(*child));
    }
    for (const Case* attempt : injected) {
      if (auto done = inject(*attempt); !done) return done;
      ++done_;
    }
    while (!children.empty()) {
      if (auto done = turn(&children, milliseconds(1000)); !done) return done;
    }
    return wait_for_marks();
  }

  Result<Child> start(const std::string& place, Uid user, const std::vector<const Case*>& cases) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return refused("cannot make a pipe", errno);
    Descriptor read_end(ends[0]);
    const Descriptor write_end(ends[1]);
    ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
    const pid_t parent = ::getpid();
    const pid_t process = ::fork();
    if (process < 0) return refused("cannot make a process", errno);
    if (process > 0) return Child(process, std::move(read_end));
    const Descriptor& space = place.empty() ? bed_.host : bed_.guests.at(place).space;
    bool is_well = false;
    const auto inside_done = inside(space, [&]() -> Result<void> {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      is_well = make_attempts(user, cases, kPatience, [&](const Fate& fate) {
        if (::write(write_end.get(), &fate, sizeof fate) != sizeof fate) ::_exit(1);
      });
      // Back to where we came from is not for an account without privileges.
      ::_exit(is_well ? 0 : 1);
    });
    ::_exit(inside_done && is_well ? 0 : 1);
  }

  Result<void> inject(const Case& attempt) {
    PacketSpec spec;
    spec.source = attempt.source.address;
    spec.destination = attempt.target.address;
    spec.protocol = attempt.protocol;
    spec.source_port = attempt.source.port;
    spec.destination_port = attempt.target.port;
    spec.tcp_flags = attempt.tcp_flags;
    spec.acknowledgement = (attempt.tcp_flags & tcp_flag::kAck) != 0 ? 1 : 0;
    // Data in a SYN is legal, and names the case.
    spec.payload = token_payload(attempt.id);
    const bool is_guest = bed_.guests.contains(attempt.place);
    Wire& wire = is_guest ? wire_at(attempt.place) : wire_at("outside");
    const InterfaceName by = is_guest ? policy::kGuestInterface : *InterfaceName::make(attempt.place);
    return wire.inject(by, compose(spec));
  }

  Wire& wire_at(std::string_view place) { return std::ranges::find(watched_, place, &Watched::place)->wire; }

  /// Waits a little for whatever happens, and takes it in.
  Result<void> turn(std::vector<Child>* children, milliseconds patience) {
    std::vector<pollfd> ends;
    for (const Watched& each : watched_) ends.push_back({each.wire.descriptor(), POLLIN, 0});
    for (const Descriptor& each : services_.udp) ends.push_back({each.get(), POLLIN, 0});
    const size_t first_child = ends.size();
    if (children != nullptr) {
      for (const Child& child : *children) ends.push_back({child.fates(), POLLIN, 0});
    }
    if (::poll(ends.data(), ends.size(), static_cast<int>(patience.count())) < 0 && errno != EINTR) {
      return refused("cannot wait", errno);
    }
    for (size_t i = 0; i < watched_.size(); ++i) {
      if (ends[i].revents == 0) continue;
      if (auto done = take(watched_[i]); !done) return done;
    }
    for (size_t i = watched_.size(); i < first_child; ++i) {
      if (ends[i].revents != 0) answer_datagrams(ends[i].fd);
    }
    for (size_t i = ends.size(); i-- > first_child;) {
      if (ends[i].revents == 0) continue;
      Child& child = (*children)[i - first_child];
      if (hear(child.fates())) continue;
      if (!child.ended_well()) return fail(ErrorKind::kRefused, "a process of the leak test died");
      children->erase(children->begin() + static_cast<std::ptrdiff_t>(i - first_child));
    }
    progress_("trying", done_, plan_.cases.size());
    return {};
  }

  /// False: it has said its last word.
  bool hear(int fates) {
    for (;;) {
      Fate fate;
      const ssize_t size = ::read(fates, &fate, sizeof fate);  // whole: shorter than PIPE_BUF
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && errno == EAGAIN) return true;
      if (size != sizeof fate) return false;
      Observation& seen = matrix_.outcomes[fate.id].seen;
      seen.error = fate.error;
      seen.is_answered |= fate.is_answered;
      ++done_;
    }
  }

  // ---- What was seen ----

  Result<void> take(Watched& watched) {
    const auto frames = watched.wire.drain();
    if (!frames) return tl::unexpected(frames.error());
    for (const Frame& frame : *frames) see(watched, frame);
    return {};
  }

  void see(Watched& watched, const Frame& frame) {
    if (frame.token == kEndOfRound) {
      ++watched.marks;
      return;
    }
    const bool left_machine = watched.place == "outside";
    if (left_machine) ++matrix_.packets;
    if (const auto id = case_of(frame)) {
      note(matrix_.outcomes[*id], watched, frame);
    } else if (const auto asked = by_port_.find(frame.destination_port); has_ports(frame) && asked != by_port_.end()) {
      note_answer(matrix_.outcomes[asked->second], watched);
    } else if (left_machine) {
      note_nobody(frame);
    }
  }

  static bool has_ports(const Frame& frame) {
    return !frame.is_later_fragment && (frame.protocol == protocol::kTcp || frame.protocol == protocol::kUdp);
  }

  std::optional<uint32_t> case_of(const Frame& frame) const {
    if (frame.token && *frame.token < plan_.cases.size()) return *frame.token;
    if (!has_ports(frame)) return std::nullopt;
    const auto named = by_port_.find(frame.source_port);
    if (named == by_port_.end()) return std::nullopt;
    return named->second;
  }

  void note(Outcome& outcome, const Watched& watched, const Frame& frame) {
    const Case& attempt = outcome.attempt;
    // Of a flow that another user opened, only what bears the case's token is the case's.
    const bool is_into_flow = attempt.means == Means::kUdpReuse || attempt.means == Means::kSynIntoFlow;
    if (is_into_flow && !frame.token) return;
    // What a guest hears of its own.
    if (watched.place == attempt.place) return;
    Observation& seen = outcome.seen;
    seen.is_seen = true;
    const bool is_first_hop = attempt.place.empty() || watched.place == "outside";
    if (is_first_hop && !frame.is_later_fragment && has_ports(frame)) {
      const Endpoint to{frame.destination, frame.destination_port};
      if (to != attempt.arrives_at) seen.is_elsewhere = true;
    }
    if (watched.place == "outside" && bed_.guests.contains(attempt.place)) {
      seen.is_unmasked |= frame.source != kHostInternet && frame.source != kHostLan;
    }
  }

  /// An answer on its way back: to whoever put the question on a cable; to anybody else it is no news.
  void note_answer(Outcome& outcome, const Watched& watched) {
    const Case& attempt = outcome.attempt;
    if (attempt.means == Means::kInject) outcome.seen.is_answered = true;
    if (watched.place == "outside" && !attempt.place.empty()) outcome.seen.is_seen = true;
  }

  /// What left the machine and is nobody's attempt.
  void note_nobody(const Frame& frame) {
    Outcome outcome;
    outcome.attempt.id = kNobody;
    outcome.attempt.user = "the kernel itself";
    outcome.attempt.to = to_string(frame.destination);
    outcome.attempt.how = frame.is_icmp_error() ? "an ICMP error" : "protocol " + std::to_string(frame.protocol);
    outcome.attempt.protocol = frame.protocol;
    outcome.attempt.target = outcome.attempt.arrives_at = {frame.destination, frame.destination_port};
    outcome.attempt.expected = Expected::kStopped;
    outcome.attempt.origin = policy_.origin;
    outcome.seen.is_seen = true;
    outcome.judgement = Judgement::kLeak;
    matrix_.outcomes.push_back(std::move(outcome));
  }

  // ---- The end of a round ----

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
    std::ranges::find(watched_, "outside", &Watched::place)->marks_wanted = cables.size();
    for (const auto& [name, guest] : bed_.guests) {
      cables.push_back(guest.host_interface);
      std::ranges::find(watched_, name, &Watched::place)->marks_wanted = 1;
    }
    for (const InterfaceName& cable : cables) {
      if (auto done = marker_->inject(cable, packet); !done) return done;
    }
    const auto deadline = Clock::now() + kForTheMarks;
    const auto is_over = [&] {
      return std::ranges::all_of(watched_, [](const Watched& each) { return each.marks >= each.marks_wanted; });
    };
    while (!is_over()) {
      if (Clock::now() > deadline) return fail(ErrorKind::kRefused, "a cable of the leak test carries nothing");
      if (auto done = turn(nullptr, milliseconds(50)); !done) return done;
    }
    // The kernel's own late words, and what another processor still holds.
    if (auto done = turn(nullptr, milliseconds(10)); !done) return done;
    for (Watched& each : watched_) {
      if (auto done = take(each); !done) return done;
    }
    return {};
  }

  const policy::Policy& policy_;
  const Plan& plan_;
  const Bed& bed_;
  const Services& services_;
  const Progress& progress_;
  Matrix matrix_;
  std::vector<Watched> watched_;
  std::optional<Wire> marker_;
  std::map<Port, uint32_t> by_port_;
  size_t done_ = 0;
};

}  // namespace

size_t Matrix::leaks() const {
  return static_cast<size_t>(std::ranges::count(outcomes, Judgement::kLeak, &Outcome::judgement));
}
size_t Matrix::broken() const {
  return static_cast<size_t>(std::ranges::count(outcomes, Judgement::kBroken, &Outcome::judgement));
}

LeakTest::LeakTest(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
LeakTest::LeakTest(LeakTest&&) noexcept = default;
LeakTest& LeakTest::operator=(LeakTest&&) noexcept = default;
LeakTest::~LeakTest() = default;

const Plan& LeakTest::plan() const { return parts_->plan; }

Result<LeakTest> LeakTest::prepare(const policy::Policy& policy, bool is_quick) {
  auto bed = Bed::build(policy);
  if (!bed) return tl::unexpected(bed.error());
  auto parts = std::make_unique<Parts>(Parts{policy, make_plan(policy, is_quick), std::move(*bed), {}, {}});
  const auto open = [](const Descriptor& space, Services& services, const std::vector<Port>& tcp,
                       const std::vector<Endpoint>& udp) {
    return inside(space, [&]() -> Result<void> {
      for (const Port port : tcp) {
        auto listener = listen_at(port);
        if (!listener) return tl::unexpected(listener.error());
        services.tcp.push_back(std::move(*listener));
      }
      for (const Endpoint& at : udp) {
        if (auto socket = bind_udp(at)) services.udp.push_back(std::move(*socket));
      }
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
