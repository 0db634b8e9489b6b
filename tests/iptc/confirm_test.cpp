#include "iptc/confirm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iptc/kernel/entry.h"
#include "iptc/kernel/memory_kernel.h"
#include "policy/lower.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"

namespace tails::iptc {
namespace {

using ruleset::TableName;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ConfirmTest : public ::testing::Test {
 protected:
  ConfirmTest() { options.lockdown = policy::lockdown(); }
  System system() { return {kernel, files}; }

  void apply(std::string_view name, std::optional<milliseconds> within = std::nullopt) {
    options.confirm_within = within;
    outcome = commit(system(), state(name).rules, options);
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_EQ(outcome->kind, Outcome::Kind::kApplied);
  }
  bool is_live(const ruleset::RuleSet& rules) {
    const ruleset::RuleSet now = read_all(kernel);
    return std::ranges::all_of(rules.tables, [&](const ruleset::Table& table) {
      const ruleset::Table* const found = now.find(table.family, table.name);
      return found != nullptr && found->says_the_same(table);
    });
  }
  std::optional<Pending> pending() {
    const auto found = pending_confirmation(system(), options.run_directory);
    EXPECT_TRUE(found) << found.error().message;
    return found.value_or(std::nullopt);
  }
  /// Lets every process run to its end, as if the time had come.
  void let_processes_run() {
    const auto running = files.processes;
    for (const auto& [process, work] : running) {
      work(process);
      files.end(process);
    }
  }

  kernel::MemoryKernel kernel;
  MemoryFiles files;
  Options options;
  Result<Outcome> outcome;
};

TEST_F(ConfirmTest, WithoutAWordTheStateBeforeComesBackAtTheDeadline) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  ASSERT_EQ(files.processes.size(), 1U);
  const milliseconds start = files.clock;
  let_processes_run();
  EXPECT_EQ(files.clock, start + milliseconds(60'000));
  EXPECT_TRUE(is_live(state("tails").rules));
  EXPECT_FALSE(pending());
  EXPECT_THAT(read_live(system())->unrecorded, IsEmpty()) << "and the record still knows it";
}

TEST_F(ConfirmTest, AMachineThatSleptThroughTheDeadlineGoesBackWhenItWakes) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  files.clock += std::chrono::hours(8);
  const milliseconds woken = files.clock;
  let_processes_run();
  EXPECT_EQ(files.clock, woken);
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(ConfirmTest, ConfirmKeepsWhatIsInForce) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  const auto running = files.processes;
  const auto kept = confirm(system(), options);
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_THAT(files.processes, IsEmpty());
  for (const auto& [process, work] : running) work(process);  // even if it could not be ended
  EXPECT_TRUE(is_live(state("tails-i2p").rules));
  const auto again = confirm(system(), options);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().message, "nothing waits to be confirmed");
  EXPECT_EQ(again.error().kind, ErrorKind::kRejected);
}

TEST_F(ConfirmTest, AnOpenStateIsNotRestored) {
  apply("tails", milliseconds(1000));
  let_processes_run();
  EXPECT_TRUE(is_live({{*policy::lockdown().find(Family::kIpv4, TableName::kFilter),
                        *policy::lockdown().find(Family::kIpv6, TableName::kFilter)},
                       {}}));
}

TEST_F(ConfirmTest, ASecondOneIsRefusedAndAPlainApplySaysThatOneIsPending) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  options.confirm_within = milliseconds(60'000);
  const auto second = commit(system(), state("tails-classic").rules, options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message, "an earlier change still waits to be confirmed");
  EXPECT_TRUE(is_live(state("tails-i2p").rules));
  apply("tails-classic");
  EXPECT_THAT(outcome->notices,
              ElementsAre("An earlier change still waits to be confirmed: without `tails-iptc confirm` the state "
                          "before it comes back."));
  let_processes_run();
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(ConfirmTest, AKeeperWhoseFileCannotBeReadTakesBackAllTheSame) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  files.closed_off["/run/tails-iptc/confirm.1"] = EIO;
  let_processes_run();
  EXPECT_TRUE(is_live(state("tails").rules)) << "nobody confirmed";
}

TEST_F(ConfirmTest, WhereItCannotBeToldWhetherOneWaitsThatIsSaid) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  files.closed_off["/run/tails-iptc/confirm.1"] = EMFILE;
  const std::string fact =
      "cannot tell whether an earlier change waits to be confirmed: cannot open /run/tails-iptc/confirm.1: too many "
      "open files (EMFILE)";
  const auto kept = confirm(system(), options);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().kind, ErrorKind::kRefused) << "not: that nothing waits";
  EXPECT_EQ(kept.error().message, fact);
  const auto mended = mend_confirmation(system(), options);
  ASSERT_TRUE(mended);
  ASSERT_TRUE(mended->unknown);
  EXPECT_EQ(mended->unknown->message, fact);
  options.confirm_within = milliseconds(60'000);
  const auto second = commit(system(), state("tails-classic").rules, options);
  ASSERT_FALSE(second) << "a second keeper beside one that cannot be seen";
  EXPECT_EQ(second.error().message, fact);
  EXPECT_TRUE(is_live(state("tails-i2p").rules));
}

TEST_F(ConfirmTest, ALockdownIsNotTakenBackByAKeeperWhoseFileCannotBeRead) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  files.closed_off["/run/tails-iptc/confirm.1"] = EIO;
  const auto locked = lockdown(system(), options);
  ASSERT_TRUE(locked);
  EXPECT_THAT(locked->notices, ElementsAre("The earlier change that waited to be confirmed will not be taken back."));
  files.closed_off.clear();
  let_processes_run();
  EXPECT_TRUE(is_live(policy::lockdown()));
}

TEST_F(ConfirmTest, LockdownAndResetAreNotTakenBack) {
  apply("tails");
  apply("tails-i2p", milliseconds(60'000));
  auto running = files.processes;
  ASSERT_TRUE(lockdown(system(), options));
  for (const auto& [process, work] : running) work(process);
  EXPECT_TRUE(is_live(policy::lockdown()));
  apply("tails", milliseconds(60'000));
  running = files.processes;
  ASSERT_TRUE(reset_open(system(), options));
  for (const auto& [process, work] : running) work(process);
  EXPECT_FALSE(is_live(policy::lockdown()));
}

TEST_F(ConfirmTest, AHeldLockDoesNotPreventTheWayBack) {
  apply("tails");
  apply("tails-i2p", milliseconds(1000));
  files.held_until["/run/xtables.lock"] = milliseconds::max();
  let_processes_run();
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(ConfirmTest, ARefusedTransactionLeavesNoKeeper) {
  apply("tails");
  kernel.between_compare_and_commit = [&](kernel::MemoryKernel& inner) {
    auto table = *inner.read(Family::kIpv6, "filter");
    table.chains[0].policy =
        table.chains[0].policy == kernel::Policy::kDrop ? kernel::Policy::kAccept : kernel::Policy::kDrop;
    table.chains.push_back({"x" + std::to_string(table.chains.size()), std::nullopt, 0, 0, 0, 0});
    inner.edit(table);
  };
  options.confirm_within = milliseconds(1000);
  ASSERT_FALSE(commit(system(), state("tails-i2p").rules, options));
  EXPECT_THAT(files.processes, IsEmpty());
  EXPECT_FALSE(pending());
}

TEST_F(ConfirmTest, NothingIsTouchedWhereTheKeeperCannotBeTied) {
  apply("tails");
  options.run_directory = "/gone/tails-iptc";
  options.confirm_within = milliseconds(1000);
  const auto refused = commit(system(), state("tails-i2p").rules, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "cannot create /gone/tails-iptc/confirm.1.new: no such file or directory (ENOENT)");
  EXPECT_TRUE(is_live(state("tails").rules));
  EXPECT_THAT(files.processes, IsEmpty());
}

class KilledKeeper : public ConfirmTest {
 protected:
  void SetUp() override {
    apply("tails");
    apply("tails-i2p", milliseconds(60'000));
    kill_keeper();
  }
  void kill_keeper() {
    const auto running = files.processes;
    ASSERT_EQ(running.size(), 1U);
    for (const auto& [process, work] : running) files.end(process);
  }
  std::string& pending_file() { return files.content.at("/run/tails-iptc/confirm.1"); }
};

TEST_F(KilledKeeper, IsSeen) {
  const auto waiting = pending();
  ASSERT_TRUE(waiting);
  EXPECT_FALSE(waiting->has_keeper);
  EXPECT_FALSE(waiting->blocks);
}

TEST_F(KilledKeeper, IsStartedAgainAsLongAsThereIsTime) {
  const milliseconds deadline = pending()->deadline;
  const auto mended = mend_confirmation(system(), options);
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_TRUE(mended->keeper_started);
  EXPECT_FALSE(mended->taken_back);
  EXPECT_TRUE(is_live(state("tails-i2p").rules));
  const auto waiting = pending();
  ASSERT_TRUE(waiting);
  EXPECT_TRUE(waiting->has_keeper);
  EXPECT_EQ(waiting->deadline, deadline);
  let_processes_run();
  EXPECT_EQ(files.clock, deadline);
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(KilledKeeper, MayBeKilledAgainAndAgain) {
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(mend_confirmation(system(), options)->keeper_started);
    kill_keeper();
  }
  ASSERT_TRUE(mend_confirmation(system(), options)->keeper_started);
  let_processes_run();
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(KilledKeeper, ItsWorkIsDoneByTheNextOneWhoComesTooLate) {
  size_t told = 0;
  options.after_taking_back = [&] { ++told; };
  files.clock += std::chrono::hours(1);
  const auto mended = mend_confirmation(system(), options);
  ASSERT_TRUE(mended) << mended.error().message;
  EXPECT_EQ(mended->taken_back, TakenBack::kRestored);
  EXPECT_EQ(told, 1U);
  EXPECT_TRUE(is_live(state("tails").rules));
  EXPECT_FALSE(pending());
  EXPECT_FALSE(mend_confirmation(system(), options)->taken_back) << "once";
}

TEST_F(KilledKeeper, ConfirmKeepsTheChangeInTime) {
  ASSERT_TRUE(confirm(system(), options));
  files.clock += std::chrono::hours(1);
  EXPECT_FALSE(mend_confirmation(system(), options)->taken_back);
  EXPECT_TRUE(is_live(state("tails-i2p").rules));
}

TEST_F(KilledKeeper, ConfirmComesTooLate) {
  files.clock += std::chrono::hours(1);
  const auto late = confirm(system(), options);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kRejected);
  EXPECT_EQ(late.error().message, "the time to confirm is over");
  EXPECT_EQ(late.error().remedy,
            "The process that should have brought the state before back was killed; that state is back now.");
  EXPECT_TRUE(is_live(state("tails").rules));
}

TEST_F(KilledKeeper, ADamagedStateBeforeIsAnUnknownOneAndBlocksAllTraffic) {
  pending_file().back() ^= 1;
  ASSERT_TRUE(mend_confirmation(system(), options)->keeper_started);
  EXPECT_TRUE(pending()->blocks);
  let_processes_run();
  EXPECT_TRUE(is_live({{*policy::lockdown().find(Family::kIpv4, TableName::kFilter),
                        *policy::lockdown().find(Family::kIpv6, TableName::kFilter)},
                       {}}));
}

TEST_F(KilledKeeper, LockdownEndsTheMatter) {
  ASSERT_TRUE(lockdown(system(), options));
  files.clock += std::chrono::hours(1);
  EXPECT_FALSE(mend_confirmation(system(), options)->taken_back);
  EXPECT_TRUE(is_live(policy::lockdown()));
}

TEST(PendingFile, OfAnotherProgramVersionOrFormSaysNothing) {
  const std::string head = "tails-iptc confirm 2\n";
  ASSERT_TRUE(parse_pending(head + "4711 815 123456 restores 0\n"));
  EXPECT_FALSE(parse_pending(head + "4711 815 123456 restores 0\n")->blocks);
  for (const std::string text :
       {"", "other-program confirm 2\n4711 815 123456 restores 0\n",
        "tails-iptc applied 2\n4711 815 123456 restores 0\n", "tails-iptc confirm 1\n4711 815 123456 restores 0\n",
        "tails-iptc confirm 2\n", "tails-iptc confirm 2\n4711 815\n",
        "tails-iptc confirm 2\nkeeper 815 123456 restores 0\n"}) {
    EXPECT_FALSE(parse_pending(text)) << text;
    EXPECT_FALSE(parse_tables_before(text)) << text;
  }
}

TEST(PendingFile, KeepsTheTablesByteForByteAndNoticesEachDamagedByte) {
  kernel::MemoryKernel kernel;
  MemoryFiles files;
  ASSERT_TRUE(commit({kernel, files}, state("tails-i2p").rules, {}));
  const std::vector<kernel::RawTable> tables = {
      *kernel.read(Family::kIpv6, "filter"), *kernel.read(Family::kIpv4, "filter"), *kernel.read(Family::kIpv4, "nat")};
  const std::string text = print_pending({4711, 815, milliseconds(123456), true, true}, tables);
  const auto pending = parse_pending(text);
  ASSERT_TRUE(pending);
  EXPECT_EQ(pending->keeper, 4711);
  EXPECT_EQ(pending->started, 815U);
  EXPECT_EQ(pending->deadline, milliseconds(123456));
  EXPECT_TRUE(pending->blocks);
  const auto read = parse_tables_before(text);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), tables.size());
  for (size_t i = 0; i < tables.size(); ++i) EXPECT_TRUE(kernel::same_rules((*read)[i], tables[i]));
  const size_t head = text.find('\n', text.find('\n') + 1);
  for (size_t at = head + 1; at < text.size(); at += 7) {
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    ASSERT_FALSE(parse_tables_before(damaged)) << at;
  }
  for (size_t length = 0; length < text.size(); length += 13) {
    ASSERT_FALSE(parse_tables_before(text.substr(0, length))) << length;
  }
}

TEST(PendingFile, IsRefusedWhereATablesBytesAreNoEntries) {
  kernel::MemoryKernel kernel;
  MemoryFiles files;
  ASSERT_TRUE(commit({kernel, files}, state("tails").rules, {}));
  kernel::RawTable table = *kernel.read(Family::kIpv4, "filter");
  const size_t next_offset = table.find("OUTPUT")->begin + kernel::entry_layout(Family::kIpv4).next_offset;
  for (const uint16_t size : {uint16_t{0}, uint16_t{8}, uint16_t{0xFFF8}}) {
    kernel::store<uint16_t>(table.bytes, next_offset, size);
    EXPECT_FALSE(parse_tables_before(print_pending({1, 1, milliseconds(1), false, true}, {table}))) << size;
  }
}

TEST_F(ConfirmTest, AFileThatSaysNothingIsNotNone) {
  apply("tails");
  apply("tails-i2p", milliseconds(1000));
  files.content.at("/run/tails-iptc/confirm.1").front() ^= 1;
  const auto waiting = pending_confirmation(system(), options.run_directory);
  ASSERT_FALSE(waiting);
  EXPECT_EQ(waiting.error().message,
            "cannot tell whether an earlier change waits to be confirmed: /run/tails-iptc/confirm.1 is damaged");
  EXPECT_FALSE(confirm(system(), options));
  ASSERT_TRUE(lockdown(system(), options));
  let_processes_run();  // the keeper finds its file gone
  EXPECT_TRUE(is_live(policy::lockdown()));
}

TEST_F(ConfirmTest, TheKeeperWaitsForARunThatIsAtWork) {
  apply("tails");
  apply("tails-i2p", milliseconds(1000));
  const milliseconds end = files.clock + milliseconds(3000);
  files.content["/run/tails-iptc/lock"];
  files.held_until["/run/tails-iptc/lock"] = end;
  let_processes_run();
  EXPECT_GE(files.clock, end);
  EXPECT_LT(files.clock, end + milliseconds(100));
  EXPECT_TRUE(is_live(state("tails").rules));
}

}  // namespace
}  // namespace tails::iptc
