#include "iptc/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/iptc/faults.h"
#include "tests/iptc/memory_files.h"

namespace tails::iptc {
namespace {

using std::chrono::milliseconds;

constexpr const char* kPath = "/run/xtables.lock";

class LockTest : public ::testing::Test {
 protected:
  /// Somebody holds it for ever; /proc/locks says that it is process 4711.
  void hold() {
    files.held_until[kPath] = milliseconds::max();
    files.content[kPath];
    Files::Identity identity;
    const int descriptor = files.open(kPath, 0, 0);
    files.identify(descriptor, identity);
    files.close(descriptor);
    files.content["/proc/locks"] =
        "1: FLOCK  ADVISORY  WRITE 4711 08:01:" + std::to_string(identity.inode) + " 0 EOF\n";
  }
  std::string refusal(milliseconds wait = milliseconds(100)) {
    const auto lock = Lock::take(files, kPath, wait);
    return lock ? "taken" : lock.error().message;
  }
  MemoryFiles files;
};

TEST_F(LockTest, NamesTheHolderAsFarAsItIsKnown) {
  hold();
  EXPECT_EQ(refusal(), "process 4711 holds the xtables lock /run/xtables.lock") << "it has no name any more";
  files.content["/proc/4711/comm"] = "iptables-save\n";
  EXPECT_EQ(refusal(), "iptables-save (process 4711) holds the xtables lock /run/xtables.lock");
  std::string& locks = files.content["/proc/locks"];
  const std::string own_line = locks;
  for (const char* const others : {"1: POSIX  ADVISORY  WRITE 4711 08:01:1 0 EOF\n",
                                   "1: FLOCK  ADVISORY  WRITE 4711 08:01:1 0 EOF\n", "nonsense\n", ""}) {
    locks = others;
    EXPECT_EQ(refusal(), "another program holds the xtables lock /run/xtables.lock") << others;
  }
  locks = own_line;
  locks.replace(locks.find("4711"), 4, "0");
  EXPECT_EQ(refusal(), "another program holds the xtables lock /run/xtables.lock")
      << "one in another process namespace";
  files.content.erase("/proc/locks");
  EXPECT_EQ(refusal(), "another program holds the xtables lock /run/xtables.lock");
}

TEST_F(LockTest, IsWaitedForAsLongAsIsSaidAndNotLonger) {
  hold();
  const milliseconds start = files.clock;
  EXPECT_NE(refusal(milliseconds(0)), "taken");
  EXPECT_EQ(files.clock, start);
  EXPECT_NE(refusal(milliseconds(250)), "taken");
  EXPECT_EQ(files.clock, start + milliseconds(250));
  files.held_until[kPath] = files.clock + milliseconds(30);
  EXPECT_EQ(refusal(milliseconds(250)), "taken");
  EXPECT_LT(files.clock, start + milliseconds(300));
}

TEST_F(LockTest, ThatCannotBeOpenedTellsTheUserWhatToDo) {
  const std::string remedy = "Run as root, or use `tails-iptc show` to print the rules.";
  const std::vector<std::pair<int, std::string>> cases = {{EACCES, remedy}, {EPERM, remedy}, {EMFILE, ""}};
  for (const auto& [error, wanted] : cases) {
    files.closed_off[kPath] = error;
    const auto lock = Lock::take(files, kPath, milliseconds(100));
    ASSERT_FALSE(lock);
    EXPECT_THAT(lock.error().message, ::testing::StartsWith("cannot open the xtables lock /run/xtables.lock: "));
    EXPECT_EQ(lock.error().remedy, wanted);
    EXPECT_EQ(lock.error().system_errno, error);
  }
}

TEST_F(LockTest, ThatTheSystemRefusesIsNoHeldOne) {
  FaultClock clock(Fault{1, Fault::Kind::kFailBefore, ENOLCK, false});
  FaultyFiles faulty(files, clock);
  const auto lock = Lock::take(faulty, kPath, milliseconds(100));
  ASSERT_FALSE(lock);
  EXPECT_EQ(lock.error().message, "cannot take the xtables lock /run/xtables.lock: no locks available (ENOLCK)");
  EXPECT_EQ(files.open_count(), 0U);
}

TEST_F(LockTest, StandsWhereTheToolsLookForIt) {
  ASSERT_EQ(::setenv("XTABLES_LOCKFILE", "/elsewhere/lock", 1), 0);
  EXPECT_EQ(Lock::default_path(), "/elsewhere/lock");
  ASSERT_EQ(::setenv("XTABLES_LOCKFILE", "", 1), 0);
  EXPECT_EQ(Lock::default_path(), kPath);
  ASSERT_EQ(::unsetenv("XTABLES_LOCKFILE"), 0);
  EXPECT_EQ(Lock::default_path(), kPath);
}

}  // namespace
}  // namespace tails::iptc
