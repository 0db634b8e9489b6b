#include "leaktest/sender.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "host/network_namespace.h"
#include "host/refusal.h"

namespace tails::leaktest {
namespace {

using host::refused;

/// How long somebody who expects an answer waits for it. A refused connect(2) over IPv6 ends with the first
/// retransmission of its SYN, after a second (tcp_v6_err leaves a soft error while the socket is in use); all else that
/// makes it wait is a fault.
constexpr std::chrono::milliseconds kPatience{2500};

[[noreturn]] void be_sender(const Descriptor& space, Uid user, const std::vector<const Case*>& cases, pid_t parent,
                            const Descriptor& to) {
  static_cast<void>(host::network_namespace::inside(space.get(), [&]() -> Result<void> {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const bool is_well = make_attempts(user, cases, kPatience, [&](const Fate& fate) {
      if (::write(to.get(), &fate, sizeof fate) != sizeof fate) ::_exit(1);
    });
    // Back to where we came from is not for an account without privileges.
    ::_exit(is_well ? 0 : 1);
  }));
  ::_exit(1);
}

}  // namespace

Result<Sender> Sender::start(const Descriptor& space, Uid user, const std::vector<const Case*>& cases) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return refused("cannot make a pipe", errno);
  Descriptor read_end(ends[0]);
  const Descriptor write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) return refused("cannot make a process", errno);
  if (process == 0) be_sender(space, user, cases, parent, write_end);
  return Sender(process, std::move(read_end));
}

Sender::Sender(Sender&& other) noexcept
    : process_(std::exchange(other.process_, -1)), fates_(std::move(other.fates_)) {}

Sender& Sender::operator=(Sender&& other) noexcept {
  std::swap(process_, other.process_);
  std::swap(fates_, other.fates_);
  return *this;
}

Sender::~Sender() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

std::optional<std::vector<Fate>> Sender::hear() {
  std::vector<Fate> told;
  for (;;) {
    Fate fate;
    const ssize_t size = ::read(fates_.get(), &fate, sizeof fate);  // whole: shorter than PIPE_BUF
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return told;
    if (size == sizeof fate) {
      told.push_back(fate);
    } else if (told.empty()) {
      return std::nullopt;
    } else {
      return told;  // the end is there for the next call too
    }
  }
}

bool Sender::ended_well() {
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) continue;
  process_ = -1;
  return status == 0;
}

}  // namespace tails::leaktest
