// Everything at once, for a while: TAILS_SOAK_SECONDS (default 20; scripts/soak takes ten minutes).
#include "tests/kernel/soak.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include <cstdlib>
#include <thread>

#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;

TEST_P(Soak, NothingLeaksNothingIsLostNothingStandsStillAndNothingGrows) {
  const char* const wanted = std::getenv("TAILS_SOAK_SECONDS");
  ASSERT_NO_FATAL_FAILURE(begin(seconds(90)));
  ASSERT_NO_FATAL_FAILURE(go_on(seconds(wanted == nullptr ? 20 : std::atoi(wanted))));
  finish();
  EXPECT_THAT(findings().out_of_the_kernel, IsEmpty());
  EXPECT_THAT(findings().through_the_filter, IsEmpty());
  EXPECT_EQ(findings().unseen_frames, 0U);
  EXPECT_THAT(findings().lost_updates, IsEmpty());
  EXPECT_THAT(findings().stood_still, IsEmpty());
  EXPECT_THAT(findings().failures, IsEmpty());
  EXPECT_THAT(findings().growth, IsEmpty());
  for (size_t i = 0; i < kForbidden; ++i) EXPECT_GT(shared_->attempts[i], 0U) << i;
  EXPECT_GT(shared_->rogue, 0U);
  EXPECT_GT(shared_->stormed, 0U);
}

// Each judge finds what is planted for it, and no other one does.
TEST_P(Soak, TheJudgesFindWhatIsPlanted) {
  constexpr milliseconds kPatienceHere{1500};
  ASSERT_NO_FATAL_FAILURE(begin(seconds(90)));
  ASSERT_NO_FATAL_FAILURE(go_on(milliseconds(1500)));
  EXPECT_THAT(findings().out_of_the_kernel, IsEmpty());
  EXPECT_THAT(findings().through_the_filter, IsEmpty());
  const Inside inside(*machine_);
  const auto iptables = [](std::vector<std::string> words) {
    words.insert(words.begin(), {"iptables-legacy", "-w", "30"});
    return run({.arguments = std::move(words)}).value_or(Finished{-1, {}, {}}).status;
  };

  // A rule of the other program's goes, and nobody says so. Ours wait meanwhile: they would be quicker on a slow
  // machine.
  {
    const Descriptor lock(open("/run/tails-iptc/lock", O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
    const size_t before = shared_->log.edits;
    bool is_deleted = false;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (!is_deleted && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(5));
      for (size_t edit = before; !is_deleted && edit < shared_->log.edits; ++edit) {
        is_deleted = edit % 3 != 0 && shared_->log.added[edit] != 0 &&
                     iptables({"-D", "INPUT", "-s", address_of(edit), "-j", "ACCEPT"}) == 0;
      }
    }
    ASSERT_TRUE(is_deleted);
  }

  // The filter gets a policy that grants what the judge holds for forbidden.
  write_filter_policy("udp/123");
  filter_->signal(SIGHUP);
  ASSERT_NO_FATAL_FAILURE(go_on(milliseconds(3000)));
  EXPECT_THAT(findings().through_the_filter, Contains(Key("tagged frames of clearnet's")));
  EXPECT_THAT(findings().out_of_the_kernel, IsEmpty());

  // The kernel's rules are open, while a lock that all of ours take is held.
  {
    const Descriptor lock(open("/run/tails-iptc/lock", O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(lock.get(), LOCK_EX), 0);
    ASSERT_EQ(iptables({"-I", "OUTPUT", "-j", "ACCEPT"}), 0);
    set_patience(kPatienceHere);
    ASSERT_NO_FATAL_FAILURE(go_on(2 * kPatienceHere));
  }
  EXPECT_THAT(findings().out_of_the_kernel, Contains(Key("TCP past Tor")));
  EXPECT_THAT(findings().out_of_the_kernel, Contains(Key("DNS past Tor")));
  EXPECT_THAT(findings().stood_still, Contains(HasSubstr("apply ")));
  EXPECT_THAT(findings().stood_still, Contains(HasSubstr("reconfigure ")));
  EXPECT_THAT(findings().stood_still, Contains("netns up and down"));
  finish();
  EXPECT_THAT(findings().lost_updates,
              Contains(HasSubstr("deleted by its program 0 times, named by us 0, still live 0")));
}

TEST(SoakJudge, TellsGrowthFromWhatComesAndGoes) {
  EXPECT_FALSE(has_grown(20000, 20000, 4096));
  EXPECT_FALSE(has_grown(20000, 26000, 4096));
  EXPECT_TRUE(has_grown(20000, 26200, 4096));
  EXPECT_FALSE(has_grown(20000, 12000, 0));
}

INSTANTIATE_TEST_SUITE_P(AfPacket, Soak, ::testing::Values("af_packet"));

}  // namespace
}  // namespace tails::testbed
