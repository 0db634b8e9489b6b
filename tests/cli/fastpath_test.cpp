// The commands of the filter on the wire: where their program is not installed, and what they take.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/scratch_directory.h"
#include "tests/kernel/profile.h"

namespace tails::cli {
namespace {

TEST(Fastpath, WithoutItsProgramEveryCommandSaysWhatToInstall) {
  const testbed::ScratchDirectory scratch;
  // By itself in a folder: the program beside it is not there, nor in PATH.
  const std::string alone = scratch.path() + "/tails-iptc";
  std::error_code problem;
  std::filesystem::create_hard_link(TAILS_IPTC, alone, problem);
  if (problem) std::filesystem::copy_file(TAILS_IPTC, alone);
  const struct {
    const char* command;
    std::vector<std::string> words;
  } kCommands[] = {{"fastpath run", {"fastpath", "run", "--inside", "eth1", "--outside", "eth2"}},
                   {"fastpath replay", {"fastpath", "replay", "wire.pcap"}},
                   {"bench", {"bench"}}};
  for (const auto& one : kCommands) {
    std::vector<std::string> arguments = {"env", "PATH=" + scratch.path(), alone};
    arguments.insert(arguments.end(), one.words.begin(), one.words.end());
    const auto done = testbed::run({.arguments = arguments});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->status, 3);
    EXPECT_EQ(done->out, "");
    EXPECT_EQ(done->err, "tails-iptc: " + std::string(one.command) +
                             " needs the program tails-iptc-fastpath, which is not installed\n"
                             "  It is built where DPDK is: `apt-get install libdpdk-dev` (in the sources: "
                             "`scripts/install-deps dpdk`), then configure and build again.\n");
  }
}

#ifdef TAILS_FASTPATH
TEST(Fastpath, ReplayTakesAStationAsSixPairsOfHexadecimalDigitsAndNothingElse) {
  const auto with = [](const std::string& inside) {
    return testbed::run({.arguments = {TAILS_FASTPATH, "fastpath", "replay", TAILS_CAPTURES "/eth.pcap", "--user-map",
                                       std::string(testbed::kAccounts), "--policy", "tails", "--inside", inside}});
  };
  const auto good = with("02:00:00:00:00:0a");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->err, "");
  for (const char* const bad : {"+2:00:00:00:00:01", " 2:00:00:00:00:01", "02:00:00:00:00:01x", "02:00:00:00:00",
                                "02:00:00:00:00:", "02:00:00:00:00:001", "020000000001"}) {
    const auto done = with(bad);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->status, 2) << bad;
    EXPECT_EQ(done->out, "");
    EXPECT_EQ(done->err,
              "tails-iptc: --inside takes a MAC, an IPv4 address or a network, not \"" + std::string(bad) + "\"\n");
  }
}
#endif

}  // namespace
}  // namespace tails::cli
