// Whatever call fails while a change waits to be confirmed: what was confirmed stays, what was not is taken back, and
// whoever asks is told which.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "iptc/closing.h"
#include "iptc/confirm.h"
#include "iptc/kernel/memory_kernel.h"
#include "net/errno_words.h"
#include "policy/lower.h"
#include "tests/iptc/faults.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"

namespace tails::iptc {
namespace {

using ruleset::TableName;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr milliseconds kWithin{60'000};

/// Few rules, because the machine is made anew for each of a thousand faults.
ruleset::RuleSet closed_but_for(const char* prefix) {
  ruleset::RuleSet rules = bare_lockdown_rules();
  rules.tables.push_back(ruleset::Table::open(Family::kIpv4, TableName::kNat));
  ruleset::Rule rule;
  rule.header.destination = ruleset::AddressTest::in(*Prefix::parse(prefix));
  rule.target = ruleset::Accept{};
  for (ruleset::Table& table : rules.tables) {
    if (table.family == Family::kIpv4) table.find("OUTPUT")->rules.push_back(rule);
  }
  return rules;
}

/// A machine on which rules were in force, and others are until somebody confirms them.
class Machine {
 public:
  explicit Machine(std::optional<Fault> fault = std::nullopt) : clock_(std::nullopt), fault_(fault) {
    options.lockdown = policy::lockdown();
    EXPECT_TRUE(commit(sound(), before(), options));
  }
  void apply_for_a_while() {
    options.confirm_within = kWithin;
    EXPECT_TRUE(commit({faulty_kernel, faulty_files}, after(), options));
    options.confirm_within.reset();
  }
  void kill_keeper() {
    const auto running = files.processes;
    for (const auto& [process, work] : running) files.end(process);
  }
  /// From here on calls are counted, and one fails.
  void arm() { clock_ = FaultClock(fault_); }
  void disarm() { clock_ = FaultClock(); }
  [[nodiscard]] size_t calls() const { return clock_.possible().size(); }
  [[nodiscard]] const std::vector<std::vector<int>>& possible() const { return clock_.possible(); }

  System sound() { return {kernel, files}; }
  System faulty() { return {faulty_kernel, faulty_files}; }

  void let_processes_run() {
    const auto running = files.processes;
    for (const auto& [process, work] : running) {
      work(process);
      files.end(process);
    }
  }
  bool is_live(const ruleset::RuleSet& rules) {
    const ruleset::RuleSet now = read_all(kernel);
    return std::ranges::all_of(rules.tables, [&](const ruleset::Table& table) {
      const ruleset::Table* const found = now.find(table.family, table.name);
      return found != nullptr && found->says_the_same(table);
    });
  }
  bool is_blocked() {
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto table = kernel.read(family, "filter");
      for (const auto& chain : table->chains) {
        if (chain.policy == kernel::Policy::kAccept) return false;
      }
    }
    const ruleset::RuleSet lockdown = policy::lockdown();
    const ruleset::RuleSet filters{
        {*lockdown.find(Family::kIpv4, TableName::kFilter), *lockdown.find(Family::kIpv6, TableName::kFilter)}, {}};
    return is_live(filters) || !is_live(after());
  }
  bool waits() const { return files.content.contains("/run/tails-iptc/confirm.1"); }

  static const ruleset::RuleSet& before() {
    static const ruleset::RuleSet rules = closed_but_for("192.0.2.0/24");
    return rules;
  }
  static const ruleset::RuleSet& after() {
    static const ruleset::RuleSet rules = closed_but_for("198.51.100.0/24");
    return rules;
  }

  kernel::MemoryKernel kernel;
  MemoryFiles files;
  Options options;

 private:
  FaultClock clock_;
  std::optional<Fault> fault_;

 public:
  FaultyKernel faulty_kernel{kernel, clock_};
  FaultyFiles faulty_files{files, clock_};
};

/// Each call of `act` fails with each errno that it can have: once, once although it did its work, and from then on.
/// `prepare` comes before, `judge` after.
void with_each_fault(const std::function<void(Machine&)>& prepare, const std::function<void(Machine&)>& act,
                     const std::function<void(Machine&, const Fault&)>& judge) {
  Machine whole;
  prepare(whole);
  whole.arm();
  act(whole);
  const auto possible = whole.possible();
  ASSERT_THAT(possible, ::testing::Not(IsEmpty()));
  for (size_t at = 0; at < possible.size(); ++at) {
    for (const int error : possible[at]) {
      for (const Fault& fault :
           {Fault{at, Fault::Kind::kFailBefore, error, false}, Fault{at, Fault::Kind::kFailAfter, error, false},
            Fault{at, Fault::Kind::kFailBefore, error, true}}) {
        // To be interrupted for ever is rightly an endless loop, and who was interrupted has done nothing. Who is told
        // that there is no file believes it.
        if ((error == EINTR && (fault.is_lasting || fault.kind == Fault::Kind::kFailAfter)) || error == ENOENT)
          continue;
        SCOPED_TRACE("call " + std::to_string(at) + ": " + errno_name(error) +
                     (fault.is_lasting ? " from then on" : "") +
                     (fault.kind == Fault::Kind::kFailAfter ? ", and yet done" : ""));
        Machine machine(fault);
        prepare(machine);
        machine.arm();
        act(machine);
        machine.disarm();
        ASSERT_NO_FATAL_FAILURE(judge(machine, fault));
        EXPECT_EQ(machine.files.open_count(), 0U);
      }
    }
  }
}

TEST(ConfirmFaults, WhatConfirmSaysItKeptStaysAndAllElseIsTakenBack) {
  Result<void> kept;
  size_t refused = 0;
  with_each_fault([](Machine& machine) { machine.apply_for_a_while(); },
                  [&](Machine& machine) { kept = confirm(machine.faulty(), machine.options); },
                  [&](Machine& machine, const Fault& fault) {
                    EXPECT_TRUE(machine.is_live(Machine::after()));
                    if (!kept) {
                      ++refused;
                      EXPECT_THAT(kept.error().message + kept.error().remedy,
                                  ::testing::AnyOf(HasSubstr("(" + errno_name(fault.error) + ")"),
                                                   HasSubstr("holds the xtables lock"), HasSubstr("nothing waits")));
                    }
                    const bool was_kept = kept.has_value();
                    const bool waits = machine.waits();
                    EXPECT_TRUE(!was_kept || !waits);
                    machine.let_processes_run();
                    EXPECT_TRUE(machine.is_live(waits ? Machine::before() : Machine::after()));
                  });
  EXPECT_GT(refused, 10U);
}

TEST(ConfirmFaults, AKeeperTakesBackOrBlocksWhateverFails) {
  size_t blocked = 0, stuck = 0;
  with_each_fault([](Machine& machine) { machine.apply_for_a_while(); },
                  [](Machine& machine) { machine.let_processes_run(); },
                  [&](Machine& machine, const Fault& fault) {
                    if (machine.is_live(Machine::before())) return;
                    if (!machine.is_live(Machine::after())) {
                      ++blocked;
                      EXPECT_TRUE(machine.is_blocked());
                      return;
                    }
                    // Only where the kernel refuses every replacement; and then the next one mends it.
                    ++stuck;
                    EXPECT_TRUE(fault.is_lasting);
                    EXPECT_TRUE(machine.waits());
                    machine.files.clock += std::chrono::hours(1);
                    if (machine.waits()) {
                      const auto mended = mend_confirmation(machine.sound(), machine.options);
                      ASSERT_TRUE(mended) << mended.error().message;
                      EXPECT_EQ(mended->taken_back, TakenBack::kRestored);
                      EXPECT_TRUE(machine.is_live(Machine::before()));
                    }
                  });
  EXPECT_GT(blocked, 0U);
  EXPECT_GT(stuck, 0U);
}

TEST(ConfirmFaults, AKilledKeepersSuccessorIsThereOrIsSaidNotToBe) {
  Result<Mended> mended;
  with_each_fault(
      [](Machine& machine) {
        machine.apply_for_a_while();
        machine.kill_keeper();
      },
      [&](Machine& machine) { mended = mend_confirmation(machine.faulty(), machine.options); },
      [&](Machine& machine, const Fault&) {
        EXPECT_TRUE(machine.is_live(Machine::after())) << "there is time left";
        EXPECT_TRUE(machine.waits());
        if (mended && mended->keeper_started) {
          EXPECT_EQ(machine.files.processes.size(), 1U);
          machine.let_processes_run();
          EXPECT_TRUE(machine.is_live(Machine::before()));
          return;
        }
        const milliseconds now = machine.files.clock;
        machine.let_processes_run();
        EXPECT_TRUE(machine.is_live(Machine::after())) << "one that nobody knows of does nothing";
        machine.files.clock = now;
        // The next one does it.
        const auto again = mend_confirmation(machine.sound(), machine.options);
        ASSERT_TRUE(again);
        EXPECT_TRUE(again->keeper_started);
      });
}

TEST(ConfirmFaults, WhoComesTooLateTakesBackWhatAKilledKeeperLeft) {
  Result<Mended> mended;
  size_t blocked = 0, failed = 0;
  with_each_fault(
      [](Machine& machine) {
        machine.apply_for_a_while();
        machine.kill_keeper();
        machine.files.clock += std::chrono::hours(1);
      },
      [&](Machine& machine) { mended = mend_confirmation(machine.faulty(), machine.options); },
      [&](Machine& machine, const Fault&) {
        if (!mended || !mended->taken_back) {
          EXPECT_TRUE(machine.is_live(Machine::after()));
          return;
        }
        switch (*mended->taken_back) {
          case TakenBack::kRestored: EXPECT_TRUE(machine.is_live(Machine::before())); break;
          case TakenBack::kBlocked:
            ++blocked;
            EXPECT_TRUE(machine.is_blocked());
            break;
          case TakenBack::kFailed:
            ++failed;
            EXPECT_TRUE(machine.waits()) << "for the next one to mend";
            break;
        }
      });
  EXPECT_GT(blocked, 0U);
  EXPECT_GT(failed, 0U);
}

TEST(ConfirmFaults, WhoConfirmsTooLateIsToldWhatIsInForce) {
  Result<void> kept;
  size_t restored = 0, blocked = 0, neither = 0;
  with_each_fault(
      [](Machine& machine) {
        machine.apply_for_a_while();
        machine.kill_keeper();
        machine.files.clock += std::chrono::hours(1);
      },
      [&](Machine& machine) { kept = confirm(machine.faulty(), machine.options); },
      [&](Machine& machine, const Fault&) {
        ASSERT_FALSE(kept) << "never kept: the time is over";
        const std::string& said = kept.error().remedy;
        if (said.ends_with("that state is back now.")) {
          ++restored;
          EXPECT_TRUE(machine.is_live(Machine::before()));
        } else if (said.ends_with("all traffic is blocked now.")) {
          ++blocked;
          EXPECT_TRUE(machine.is_blocked());
        } else if (said.ends_with("neither could it be put back now, nor could all traffic be blocked.")) {
          ++neither;
          EXPECT_TRUE(machine.waits());
        } else {
          EXPECT_TRUE(machine.is_live(Machine::after()));
        }
      });
  EXPECT_GT(restored, 0U);
  EXPECT_GT(blocked, 0U);
  EXPECT_GT(neither, 0U);
}

TEST(ConfirmFaults, AnApplyThatIsRefusedLeavesNoKeeperThatActs) {
  Result<Outcome> outcome;
  with_each_fault(
      [](Machine&) {},
      [&](Machine& machine) {
        machine.options.confirm_within = kWithin;
        outcome = commit(machine.faulty(), Machine::after(), machine.options);
      },
      [&](Machine& machine, const Fault&) {
        if (outcome && outcome->kind == Outcome::Kind::kLockedDown) {
          const std::string& said = outcome->failure->remedy;
          EXPECT_TRUE(machine.is_blocked() || said.find("Blocking all traffic failed as well") != std::string::npos);
          return;
        }
        const bool is_applied = outcome && outcome->kind == Outcome::Kind::kApplied;
        EXPECT_TRUE(machine.is_live(is_applied ? Machine::after() : Machine::before()));
        machine.let_processes_run();
        EXPECT_TRUE(machine.is_live(Machine::before()));
      });
}

TEST(ConfirmFaults, ALockdownIsNotTakenBackUnlessThatIsSaid) {
  Result<Outcome> outcome;
  size_t told = 0;
  with_each_fault(
      [](Machine& machine) { machine.apply_for_a_while(); },
      [&](Machine& machine) { outcome = lockdown(machine.faulty(), machine.options); },
      [&](Machine& machine, const Fault&) {
        if (!outcome) {
          EXPECT_TRUE(machine.is_live(Machine::after())) << "refused: nothing was changed";
          return;
        }
        const bool is_uncertain = std::ranges::any_of(outcome->notices, [](const std::string& notice) {
          return notice.starts_with("If an earlier change waits to be confirmed, the state before it may come back: ");
        });
        told += is_uncertain ? 1U : 0U;
        EXPECT_TRUE(is_uncertain || !machine.waits());
        if (!is_uncertain && outcome->kind == Outcome::Kind::kApplied) {
          machine.let_processes_run();
          EXPECT_TRUE(machine.is_blocked());
        }
      });
  EXPECT_GT(told, 0U);
}

TEST(LiveFaults, ARuleSetIsReadWholeOrNotAtAll) {
  Result<Live> live;
  Machine sound;
  const auto wanted = read_live(sound.sound());
  ASSERT_TRUE(wanted);
  with_each_fault([](Machine&) {}, [&](Machine& machine) { live = read_live(machine.faulty()); },
                  [&](Machine&, const Fault& fault) {
                    if (!live) {
                      EXPECT_EQ(live.error().system_errno, fault.error);
                      EXPECT_EQ(live.error().kind, ErrorKind::kRefused);
                      return;
                    }
                    ASSERT_EQ(live->rules.tables.size(), wanted->rules.tables.size());
                    for (size_t i = 0; i < live->rules.tables.size(); ++i) {
                      EXPECT_TRUE(live->rules.tables[i].says_the_same(wanted->rules.tables[i]));
                    }
                    EXPECT_TRUE(live->policy == wanted->policy || live->record_problem);
                  });
}

}  // namespace
}  // namespace tails::iptc
