/// `session add` whose rules are in force already when its entry cannot be kept: the rules go back, and where they do
/// not, that is said.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "net/descriptor.h"
#include "tests/faults/machine_state.h"
#include "tests/faults/recorded_files.h"
#include "tests/kernel/private_machine.h"

namespace tails::faults {
namespace {

using testing::IsEmpty;

class SessionTakeBack : public testbed::PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    private_etc();
    auto created = testbed::NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    ASSERT_EQ(tails_iptc({"apply"}).status, 0);
    before_ = look();
    ASSERT_NO_FATAL_FAILURE(learn());
  }

  static MachineState look() {
    auto state = look_at_machine();
    if (state) return std::move(*state);
    ADD_FAILURE() << state.error().message;
    return {};
  }

  static Traced add(const Disturbance& disturbance, std::function<void(const SystemCall&)> seen = {}) {
    std::vector<std::string> command = words({"--wait", "0", "session", "add", "service", "--name", "Seven", "--at",
                                              "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"});
    std::erase(command, "-q");
    return run_traced({.arguments = std::move(command), .shares_run = true, .seen = std::move(seen)}, disturbance);
  }

  /// Which rename(2) gives the entry its name, in a run that nothing disturbs.
  void learn() {
    FileRecorder recorder({"/run/"});
    size_t renames = 0;
    std::optional<size_t> found;
    const Traced whole = add({}, [&](const SystemCall& call) {
      recorder.see(call);
      if (call.number != SYS_rename) return;
      const auto& made = recorder.operations();
      if (!made.empty() && made.back().to.ends_with("/0001.toml")) {
        found = renames;
        entry_ = made.back().to;
      }
      ++renames;
    });
    ASSERT_EQ(whole.status, 0) << whole.err;
    ASSERT_TRUE(found);
    keep_ = {SYS_rename, *found, EIO, false};
    with_entry_ = look();
    ASSERT_THAT(differences(before_, with_entry_), testing::Contains("IPv4 filter")) << "the entry is in the rules";
    ASSERT_EQ(tails_iptc({"session", "remove", "1"}).status, 0);
    ASSERT_THAT(differences(before_, look()), IsEmpty());
  }

  std::optional<testbed::NetworkNamespace> space_;
  std::optional<testbed::Inside> inside_;
  MachineState before_;      ///< The policy in force, no exception.
  MachineState with_entry_;  ///< After a run that nothing disturbed.
  Failure keep_;             ///< The entry's file does not get its name; the rules are in force by then.
  std::string entry_;        ///< Its path.
};

TEST_F(SessionTakeBack, RulesGoBackWhereTheEntryCannotBeKept) {
  for (const bool is_after : {false, true}) {
    SCOPED_TRACE(is_after ? "the rename does its work and reports a failure all the same" : "the rename does nothing");
    keep_.is_after = is_after;
    // That there was something to put back.
    bool were_in_force = false;
    size_t renames = 0;
    const Traced run = add({.fail = keep_}, [&](const SystemCall& call) {
      if (call.number != SYS_rename || renames++ != keep_.at) return;
      were_in_force = iptc::kernel::same_rules(look().tables.at("IPv4 filter"), with_entry_.tables.at("IPv4 filter"));
    });
    EXPECT_TRUE(run.was_failed);
    EXPECT_TRUE(were_in_force);
    EXPECT_EQ(run.status, 3);
    EXPECT_EQ(run.err, "tails-iptc: cannot keep " + entry_ + ": input/output error (EIO)\n  Nothing was changed.\n");
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(differences(before_, look()), IsEmpty());
    EXPECT_EQ(tails_iptc({"session", "list"}).out, "This session has no exceptions.\n");
    EXPECT_EQ(tails_iptc({"status"}).status, 0);
  }
}

TEST_F(SessionTakeBack, RulesThatCannotGoBackAreToldAndTheNextApplyPutsThemBack) {
  size_t renames = 0;
  Descriptor lock;
  const Traced run = add({.fail = keep_}, [&](const SystemCall& call) {
    if (call.number != SYS_rename || renames++ != keep_.at) return;
    // Another program has the lock from now on, so that the second transaction is refused.
    lock = Descriptor(open("/run/xtables.lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(flock(lock.get(), LOCK_EX | LOCK_NB), 0) << "the first one is over";
  });
  ASSERT_TRUE(lock.is_open());
  lock = Descriptor();
  EXPECT_TRUE(run.was_failed);
  EXPECT_EQ(run.status, 3);
  EXPECT_THAT(run.err,
              testing::StartsWith("tails-iptc: cannot keep " + entry_ +
                                  ": input/output error (EIO)\n  The rules are those with the change, and could "
                                  "not be put back ("));
  EXPECT_THAT(run.err, testing::HasSubstr(" holds the xtables lock /run/xtables.lock"));
  EXPECT_THAT(run.err, testing::EndsWith("): run `tails-iptc apply`.\n")) << "and no word of nothing being changed";
  EXPECT_TRUE(iptc::kernel::same_rules(look().tables.at("IPv4 filter"), with_entry_.tables.at("IPv4 filter")));
  EXPECT_EQ(tails_iptc({"session", "list"}).out, "This session has no exceptions.\n");

  EXPECT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_THAT(differences(before_, look()), IsEmpty());
}

}  // namespace
}  // namespace tails::faults
