#include "leaktest/attempt.h"

#include <grp.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "host/sockets.h"
#include "leaktest/bed.h"
#include "leaktest/packets.h"
#include "leaktest/wire.h"

namespace tails::leaktest {
namespace {

using Clock = std::chrono::steady_clock;

int domain_of(const Case& attempt) { return host::domain_of(attempt.target.address.family); }

int prepare(int socket, const Case& attempt, bool has_ports) {
  host::SocketOptions options{.device = attempt.device, .tos = attempt.tos, .may_broadcast = true};
  options.is_transparent = attempt.has_source_address;
  const IpAddress any{attempt.target.address.family, 0, 0};
  if (has_ports)
    options.from = Endpoint{attempt.has_source_address ? attempt.source.address : any, attempt.source.port};
  const int error = host::set_options(socket, options);
  if (error != 0 || attempt.tos == 0 || attempt.target.address.family == Family::kIpv4) return error;
  const int traffic_class = attempt.tos;
  return ::setsockopt(socket, IPPROTO_IPV6, IPV6_TCLASS, &traffic_class, sizeof traffic_class) == 0 ? 0 : errno;
}

/// A raw socket for packets that bring their own IP header.
Descriptor whole_packets(const Case& attempt) {
  return Descriptor(::socket(domain_of(attempt), SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
}

/// An attempt that is under way.
struct Pending {
  const Case* attempt;
  Descriptor socket;
};

/// The attempts of one process.
class Attempts {
 public:
  explicit Attempts(const std::function<void(const Fate&)>& tell) : tell_(tell) {}

  void begin(const Case& attempt) {
    int error = 0;
    switch (attempt.means) {
      case Means::kTcp:
      case Means::kFastOpen: error = begin_tcp(attempt); break;
      case Means::kUdp:
      case Means::kUdpSend: error = begin_udp(attempt); break;
      case Means::kPing: error = begin_ping(attempt); break;
      case Means::kRawIcmp: error = send_raw_icmp(attempt); break;
      case Means::kRawPacket: error = send_packet(attempt, packet_of(attempt)); break;
      case Means::kFragments: error = send_fragments(attempt); break;
      case Means::kLaterFragment: error = send_later_fragment(attempt); break;
      case Means::kBehindOptions: error = send_packet(attempt, behind_options(packet_of(attempt))); break;
      case Means::kRawProtocol: error = send_protocol(attempt); break;
      case Means::kJoin: error = join(attempt); break;
      case Means::kUdpReuse: error = reuse(attempt); break;
      case Means::kLateAnswer: error = ask_and_go(attempt); break;
      case Means::kSynIntoFlow: error = send_into_flow(attempt); break;
      case Means::kInject: break;
    }
    const bool is_pending = !pending_.empty() && pending_.back().attempt == &attempt;
    if (!is_pending) tell_({attempt.id, error, false});
  }

  /// Waits for what was begun.
  void finish(std::chrono::milliseconds patience) {
    constexpr std::chrono::milliseconds kForSilence{120};
    const auto start = Clock::now();
    while (!pending_.empty()) {
      const bool waits_for_word = std::ranges::any_of(pending_, [](const Pending& pending) {
        const Expected expected = pending.attempt->expected;
        return expected == Expected::kReaches || expected == Expected::kRefused;
      });
      const auto deadline = start + (waits_for_word ? patience : std::min(patience, kForSilence));
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) break;
      wait(static_cast<int>(left));
    }
    for (const Pending& late : pending_) tell_({late.attempt->id, ETIMEDOUT, false});
    close_all();
  }

 private:
  int begin_tcp(const Case& attempt) {
    Descriptor socket(::socket(domain_of(attempt), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.is_open()) return errno;
    if (const int error = prepare(socket.get(), attempt, true)) return error;
    const host::SocketAddress to(attempt.target);
    int done = 0;
    if (attempt.means == Means::kFastOpen) {
      const Bytes payload = token_payload(attempt.id);
      done =
          ::sendto(socket.get(), payload.data(), payload.size(), MSG_FASTOPEN | MSG_NOSIGNAL, to.get(), to.length()) < 0
              ? -1
              : 0;
      if (done == 0) errno = EINPROGRESS, done = -1;
    } else {
      done = ::connect(socket.get(), to.get(), to.length());
    }
    if (done != 0 && errno != EINPROGRESS) return errno;
    pending_.push_back({&attempt, std::move(socket)});
    return 0;
  }

  int begin_udp(const Case& attempt) {
    Descriptor socket(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket.is_open()) return errno;
    if (const int error = prepare(socket.get(), attempt, true)) return error;
    const int error = send_to(socket.get(), attempt);
    // A connected socket is told the reason by its next call.
    if (error != 0 && (attempt.means == Means::kUdpSend || error != EPERM)) return error;
    pending_.push_back({&attempt, std::move(socket)});
    return 0;
  }

  static int send_to(int socket, const Case& attempt) {
    const host::SocketAddress to(attempt.target);
    const Bytes payload = token_payload(attempt.id);
    if (attempt.means != Means::kUdp) {
      return ::sendto(socket, payload.data(), payload.size(), 0, to.get(), to.length()) < 0 ? errno : 0;
    }
    if (::connect(socket, to.get(), to.length()) != 0) return errno;
    return ::send(socket, payload.data(), payload.size(), 0) < 0 ? errno : 0;
  }

  int begin_ping(const Case& attempt) {
    const int number = domain_of(attempt) == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    Descriptor socket(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, number));
    if (!socket.is_open()) return errno;
    // The port of an echo socket is the identifier (icmp(7)).
    if (const int error = prepare(socket.get(), attempt, true)) return error;
    const host::SocketAddress to(attempt.target);
    const Bytes echo = echo_of(attempt);
    if (::sendto(socket.get(), echo.data(), echo.size(), 0, to.get(), to.length()) < 0) return errno;
    pending_.push_back({&attempt, std::move(socket)});
    return 0;
  }

  static int send_bytes(const Descriptor& socket, const Case& attempt, const Bytes& bytes) {
    if (!socket.is_open()) return errno;
    if (const int error = prepare(socket.get(), attempt, false)) return error;
    const host::SocketAddress to({attempt.target.address, 0});
    return ::sendto(socket.get(), bytes.data(), bytes.size(), 0, to.get(), to.length()) < 0 ? errno : 0;
  }

  static int send_raw_icmp(const Case& attempt) {
    const int number = domain_of(attempt) == AF_INET ? int{IPPROTO_ICMP} : int{IPPROTO_ICMPV6};
    return send_bytes(Descriptor(::socket(domain_of(attempt), SOCK_RAW | SOCK_CLOEXEC, number)), attempt,
                      echo_of(attempt));
  }

  /// Without ports, what two accounts send at once is one flow, and the second to be entered in conntrack's table is
  /// dropped (nf_conntrack_confirm). Once it is there, it can be asked again.
  static int send_protocol(const Case& attempt) {
    const auto send = [&] {
      return send_bytes(Descriptor(::socket(domain_of(attempt), SOCK_RAW | SOCK_CLOEXEC, attempt.protocol)), attempt,
                        token_payload(attempt.id, 64));
    };
    const int error = send();
    return error == EPERM && attempt.may_pass() ? send() : error;
  }

  static int send_packet(const Case& attempt, const Bytes& bytes) {
    return send_bytes(whole_packets(attempt), attempt, bytes);
  }

  static int send_fragments(const Case& attempt) {
    const Bytes packet = packet_of(attempt, 120);
    constexpr size_t kCut = 64;
    const int first = send_packet(attempt, fragment_of(packet, 0, kCut, false, attempt.id));
    const int second =
        send_packet(attempt, fragment_of(packet, kCut, size_behind_header(packet, attempt), true, attempt.id));
    return first != 0 ? first : second;
  }

  static size_t size_behind_header(const Bytes& packet, const Case& attempt) {
    return packet.size() - (domain_of(attempt) == AF_INET ? sizeof(iphdr) : sizeof(ip6_hdr));
  }

  static int send_later_fragment(const Case& attempt) {
    const Descriptor socket = whole_packets(attempt);
    if (!socket.is_open()) return errno;
    constexpr int kIpNodefrag = 22;  // linux/in.h: else conntrack waits for the first fragment
    const int yes = 1;
    if (domain_of(attempt) == AF_INET && ::setsockopt(socket.get(), IPPROTO_IP, kIpNodefrag, &yes, sizeof yes) != 0) {
      return errno;
    }
    const Bytes packet = packet_of(attempt, 120);
    return send_bytes(socket, attempt, fragment_of(packet, 64, size_behind_header(packet, attempt), true, attempt.id));
  }

  int join(const Case& attempt) {
    Descriptor socket(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open()) return errno;
    int done = 0;
    if (domain_of(attempt) == AF_INET) {
      ip_mreqn request{};
      attempt.target.address.to_wire(&request.imr_multiaddr);
      done = ::setsockopt(socket.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request);
    } else {
      ipv6_mreq request{};
      attempt.target.address.to_wire(&request.ipv6mr_multiaddr);
      done = ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &request, sizeof request);
    }
    if (done != 0) return errno;
    kept_.push_back(std::move(socket));
    return 0;
  }

  /// Whether another's flow has come to be. A machine that stands still gets its time; where rules are why nothing
  /// comes, the first wait is the only long one.
  bool wait_for_opener(const Descriptor& socket, short what) {
    constexpr int kShort = 100;
    pollfd end{socket.get(), what, 0};
    const bool is_open = ::poll(&end, 1, opener_patience_) > 0 && (end.revents & POLLERR) == 0;
    if (!is_open) opener_patience_ = kShort;
    return is_open;
  }

  /// Another's flow gets its answer; then the same port is ours and its peer is asked.
  int reuse(const Case& attempt) {
    const auto as_before = ::setfsuid(attempt.opener.value);
    {
      const Descriptor first(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (prepare(first.get(), attempt, true) != 0) return EADDRINUSE;
      const host::SocketAddress to(attempt.target);
      const std::array<char, 6> question{};
      if (::connect(first.get(), to.get(), to.length()) != 0) return errno;
      static_cast<void>(::send(first.get(), question.data(), question.size(), 0));
      wait_for_opener(first, POLLIN);
    }
    ::setfsuid(static_cast<uid_t>(as_before));
    const Descriptor second(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (const int error = prepare(second.get(), attempt, true)) return error;
    return send_to(second.get(), attempt);
  }

  static int ask_and_go(const Case& attempt) {
    const Descriptor socket(::socket(domain_of(attempt), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (const int error = prepare(socket.get(), attempt, true)) return error;
    return send_to(socket.get(), attempt);
  }

  int send_into_flow(const Case& attempt) {
    const auto as_before = ::setfsuid(attempt.opener.value);
    Descriptor flow(::socket(domain_of(attempt), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (prepare(flow.get(), attempt, true) != 0) return EADDRINUSE;
    const host::SocketAddress to(attempt.target);
    ::connect(flow.get(), to.get(), to.length());
    const bool is_open = wait_for_opener(flow, POLLOUT);
    ::setfsuid(static_cast<uid_t>(as_before));
    // Into a flow that nobody has answered it would be a first packet, which the user may be free to send.
    const int error = is_open ? send_packet(attempt, packet_of(attempt)) : ETIMEDOUT;
    kept_.push_back(std::move(flow));
    return error;
  }

  void wait(int milliseconds) {
    std::vector<pollfd> ends;
    for (const Pending& one : pending_) {
      const bool is_tcp = one.attempt->means == Means::kTcp || one.attempt->means == Means::kFastOpen;
      ends.push_back({one.socket.get(), static_cast<short>(is_tcp ? POLLOUT : POLLIN), 0});
    }
    if (::poll(ends.data(), ends.size(), milliseconds) <= 0) return;
    std::vector<Pending> left;
    for (size_t i = 0; i < ends.size(); ++i) {
      const Case& attempt = *pending_[i].attempt;
      if (ends[i].revents == 0) {
        left.push_back(std::move(pending_[i]));
        continue;
      }
      const bool is_tcp = (ends[i].events & POLLOUT) != 0;
      int error = 0;
      if (is_tcp) {
        socklen_t length = sizeof error;
        ::getsockopt(ends[i].fd, SOL_SOCKET, SO_ERROR, &error, &length);
      } else {
        std::array<char, 512> answer{};
        if (::recv(ends[i].fd, answer.data(), answer.size(), 0) < 0) error = errno;
      }
      tell_({attempt.id, error, error == 0});
      if (error == 0) kept_.push_back(std::move(pending_[i].socket));
    }
    pending_ = std::move(left);
  }

  /// By reset: nothing lingers.
  void close_all() {
    const linger now{1, 0};
    for (const Descriptor& socket : kept_) ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    kept_.clear();
    pending_.clear();
  }

  const std::function<void(const Fate&)>& tell_;
  std::vector<Pending> pending_;
  int opener_patience_ = 3000;    ///< Milliseconds.
  std::vector<Descriptor> kept_;  ///< Of flows that came to be: open to the end, so that they are there for others.
};

bool needs_privileges(const Case& attempt) {
  constexpr Port kFirstFree = 1024;
  switch (attempt.means) {
    case Means::kTcp:
    case Means::kFastOpen:
    case Means::kUdp:
    case Means::kUdpSend:
    case Means::kPing: return attempt.has_source_address || attempt.source.port < kFirstFree;
    case Means::kJoin: return false;
    default: return true;
  }
}

}  // namespace

bool make_attempts(Uid user, const std::vector<const Case*>& cases, std::chrono::milliseconds patience,
                   const std::function<void(const Fate&)>& tell) {
  Attempts attempts(tell);
  if (::setgroups(0, nullptr) != 0) return false;
  ::setfsgid(user.value);
  ::setfsuid(user.value);
  if (static_cast<uint32_t>(::setfsuid(user.value)) != user.value) return false;
  for (const Case* attempt : cases) {
    if (needs_privileges(*attempt)) attempts.begin(*attempt);
  }
  if (::setresgid(user.value, user.value, user.value) != 0 || ::setresuid(user.value, user.value, user.value) != 0) {
    return false;
  }
  for (const Case* attempt : cases) {
    if (!needs_privileges(*attempt)) attempts.begin(*attempt);
  }
  attempts.finish(patience);
  return true;
}

}  // namespace tails::leaktest
