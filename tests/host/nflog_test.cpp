// The kernel's answers to NFLOG's configuration may be lost in a flood of packets, of which the kernel says only once.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <limits>

#include "host/blocked_log.h"

namespace {

/// Which of the answers that come are lost; none at first.
struct Loss {
  unsigned first = std::numeric_limits<unsigned>::max();
  unsigned last = 0;
  unsigned answers = 0;
};
// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a C function has no other way to know it
Loss loss;

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming): ld's --wrap=recv
extern "C" {
ssize_t __real_recv(int fd, void* bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void* bytes, size_t length, int flags);

ssize_t __wrap_recv(int fd, void* bytes, size_t length, int flags) {
  const ssize_t got = __real_recv(fd, bytes, length, flags);
  if (got < 0) return got;
  const unsigned number = loss.answers++;
  if (number < loss.first || number > loss.last) return got;
  errno = EAGAIN;
  return -1;
}
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)

namespace tails::host {
namespace {

constexpr uint16_t kGroup = 5;
constexpr unsigned kRequests = 5;  ///< To bind, and four settings.

/// In a network of its own, which each test enters anew.
class NflogAnswers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (unshare(CLONE_NEWNET) == 0) return;
    if (std::getenv("CI") == nullptr) GTEST_SKIP() << "needs root";
    FAIL() << "needs root";
  }
  void TearDown() override { loss = {}; }
};

TEST_F(NflogAnswers, OneThatIsLostIsAskedForAgain) {
  for (unsigned lost = 0; lost < kRequests; ++lost) {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    loss = {lost, lost};
    const auto log = open_nflog(kGroup);
    EXPECT_TRUE(log) << "answer " << lost << ": " << log.error().message;
    EXPECT_EQ(loss.answers, kRequests + 1);
  }
}

TEST_F(NflogAnswers, WhereAllAreLostThatIsSaid) {
  loss = {0, std::numeric_limits<unsigned>::max()};
  const auto log = open_nflog(kGroup);
  ASSERT_FALSE(log);
  EXPECT_EQ(log.error().system_errno, ENOBUFS);
}

}  // namespace
}  // namespace tails::host
