#include "tests/kernel/harness/as_user.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "net/descriptor.h"
#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

constexpr int kCannotBecome = 101;

[[noreturn]] void answer(Uid user, Gid group, const std::function<std::string()>& work, int to) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::setgroups(0, nullptr) != 0 || ::setresgid(group.value, group.value, group.value) != 0 ||
      ::setresuid(user.value, user.value, user.value) != 0) {
    ::_exit(kCannotBecome);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // changing users clears it
  const std::string text = work();
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(to, text.data() + written, text.size() - written);
    if (n <= 0) ::_exit(1);
    written += static_cast<size_t>(n);
  }
  ::_exit(0);  // no destructors, no leak check: they belong to the parent
}

}  // namespace

Result<InBackground> InBackground::start(Uid user, Gid group, const std::function<std::string()>& work) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_failure("pipe2");
  Descriptor read_end(ends[0]);
  const Descriptor write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return system_failure("fork");
  if (child == 0) answer(user, group, work, write_end.get());
  return InBackground(child, std::move(read_end), user);
}

Result<InBackground> InBackground::start(Uid user, const std::function<std::string()>& work) {
  return start(user, Gid{user.value}, work);
}

InBackground::InBackground(InBackground&& other) noexcept
    : child_(std::exchange(other.child_, -1)), answer_(std::move(other.answer_)), user_(other.user_) {}

InBackground::~InBackground() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

Result<std::string> InBackground::finish() {
  std::string text;
  std::array<char, 4096> part{};
  for (ssize_t n = 0; (n = ::read(answer_.get(), part.data(), part.size())) > 0;) {
    text.append(part.data(), static_cast<size_t>(n));
  }
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0) {
    if (errno != EINTR) return system_failure("waitpid");
  }
  child_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannotBecome) {
    return fail(ErrorKind::kRefused, "cannot become user " + std::to_string(user_.value));
  }
  if (status != 0) {
    return fail(ErrorKind::kRefused, "the child of user " + std::to_string(user_.value) + " ended with wait status " +
                                         std::to_string(status));
  }
  return text;
}

Result<std::string> as_user(Uid user, Gid group, const std::function<std::string()>& work) {
  auto child = InBackground::start(user, group, work);
  if (!child) return tl::unexpected(child.error());
  return child->finish();
}

SocketOwner::SocketOwner(Uid user, Gid group) : user_before_(0), group_before_(0) {
  group_before_ = ::setfsgid(group.value);
  user_before_ = ::setfsuid(user.value);
  // setfsuid(2) never reports failure; asking again returns what is in force.
  if (static_cast<uint32_t>(::setfsuid(user.value)) != user.value ||
      static_cast<uint32_t>(::setfsgid(group.value)) != group.value) {
    std::perror("setfsuid");
    std::abort();
  }
}

SocketOwner::~SocketOwner() {
  ::setfsuid(static_cast<uid_t>(user_before_));
  ::setfsgid(static_cast<gid_t>(group_before_));
}

}  // namespace tails::testbed
