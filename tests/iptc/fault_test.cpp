#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "iptc/confirm.h"
#include "iptc/encode.h"
#include "iptc/kernel/memory_kernel.h"
#include "iptc/transaction.h"
#include "policy/lower.h"
#include "ruleset/evaluator.h"
#include "tests/iptc/faults.h"
#include "tests/iptc/memory_files.h"
#include "tests/iptc/states.h"
#include "tests/policy/generators.h"

// Every call of a transaction fails with each errno that it can have, or is the last one executed.
namespace tails::iptc {
namespace {

struct Switch {
  std::string from;
  std::string to;
};

void PrintTo(const Switch& s, std::ostream* out) { *out << s.from << " to " << s.to; }

/// One machine, put into its first state by our own transaction where that is a policy.
struct MachineInState {
  kernel::MemoryKernel kernel;
  MemoryFiles files;

  explicit MachineInState(const State& first) {
    if (first.policy || first.name == "lockdown") {
      const auto done = commit({kernel, files}, first.rules, {});
      EXPECT_TRUE(done);
      return;
    }
    for (const ruleset::Table& table : first.rules.tables) {
      kernel.edit(*encode(first.rules, table, Features::all()));
    }
  }
};

using Tables = std::vector<kernel::RawTable>;

Tables tables_of(kernel::Kernel& kernel) {
  Tables tables;
  for (const Family family : {Family::kIpv6, Family::kIpv4}) {
    for (const char* const name : {"filter", "nat"}) {
      if (family == Family::kIpv6 && std::string_view(name) == "nat") continue;
      tables.push_back(*kernel.read(family, name));
    }
  }
  return tables;
}

bool same(const Tables& a, const Tables& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return kernel::same_rules(x, y); });
}

bool is_closed(const Tables& tables) {
  return std::ranges::all_of(tables, [](const kernel::RawTable& table) {
    return table.name != "filter" || std::ranges::all_of(table.chains, [](const kernel::RawChain& chain) {
             return !chain.policy || *chain.policy == kernel::Policy::kDrop;
           });
  });
}

class Faults : public ::testing::TestWithParam<Switch> {
 protected:
  Faults()
      : before_(state(GetParam().from)), after_(state(GetParam().to)), packets_(packets_near(before_, after_, 200, 3)) {
    options_.lockdown = policy::lockdown();
    options_.policy = after_.name;
    {
      MachineInState machine(before_);
      old_rules_ = read_all(machine.kernel);
      old_tables_ = tables_of(machine.kernel);
    }
    {
      MachineInState machine(before_);
      EXPECT_TRUE(commit({machine.kernel, machine.files}, after_.rules, options_));
      new_rules_ = read_all(machine.kernel);
      new_tables_ = tables_of(machine.kernel);
    }
    const ruleset::Evaluator old_evaluator(old_rules_);
    const ruleset::Evaluator new_evaluator(new_rules_);
    std::erase_if(packets_, [&](const Packet& packet) {
      return old_evaluator.evaluate(packet).verdict == Verdict::kAccept ||
             new_evaluator.evaluate(packet).verdict == Verdict::kAccept;
    });
  }

  /// What each call of the undisturbed transaction can fail with.
  std::vector<std::vector<int>> possible_errors() {
    MachineInState machine(before_);
    FaultClock clock;
    FaultyKernel kernel(machine.kernel, clock);
    FaultyFiles files(machine.files, clock);
    EXPECT_TRUE(commit({kernel, files}, after_.rules, options_));
    return clock.possible();
  }

  void expect_promise(kernel::Kernel& kernel) {
    const ruleset::RuleSet live = read_all(kernel);
    const ruleset::Evaluator evaluator(live);
    for (const Packet& packet : packets_) {
      ASSERT_NE(evaluator.evaluate(packet).verdict, Verdict::kAccept) << testing::describe(packet);
    }
  }

  void expect_next_one_finishes(MachineInState& machine) {
    machine.files.close_all();
    const auto next = commit({machine.kernel, machine.files}, after_.rules, options_);
    ASSERT_TRUE(next) << next.error().message;
    EXPECT_TRUE(next->kind == Outcome::Kind::kApplied || next->kind == Outcome::Kind::kUnchanged);
    EXPECT_TRUE(same(tables_of(machine.kernel), new_tables_));
  }

  void inject(const Fault& fault) {
    MachineInState machine(before_);
    FaultClock clock(fault);
    FaultyKernel kernel(machine.kernel, clock);
    FaultyFiles files(machine.files, clock);
    bool was_killed = false;
    Result<Outcome> outcome;
    try {
      outcome = commit({kernel, files}, after_.rules, options_);
    } catch (const Killed&) {
      was_killed = true;
    }
    was_killed = was_killed || clock.is_dead();
    ++injected_;
    const Tables live = tables_of(machine.kernel);
    ASSERT_NO_FATAL_FAILURE(expect_promise(machine.kernel));
    if (!was_killed) {
      EXPECT_EQ(machine.files.open_count(), 0U) << "the lock is not held any more";
      ASSERT_NO_FATAL_FAILURE(judge(outcome, live));
    }
    expect_next_one_finishes(machine);
  }

  void judge(const Result<Outcome>& outcome, const Tables& live) {
    if (!outcome) {
      EXPECT_EQ(outcome.error().kind, ErrorKind::kRefused);
      EXPECT_TRUE(same(live, old_tables_)) << outcome.error().message;
      EXPECT_TRUE(outcome.error().remedy.ends_with("Nothing was changed.")) << outcome.error().remedy;
      ++refused_;
      return;
    }
    switch (outcome->kind) {
      case Outcome::Kind::kApplied:
        EXPECT_TRUE(same(live, new_tables_));
        EXPECT_FALSE(outcome->failure);
        ++applied_;
        break;
      case Outcome::Kind::kRolledBack:
        EXPECT_TRUE(same(live, old_tables_));
        EXPECT_TRUE(is_closed(live)) << "an open state is never restored";
        ASSERT_TRUE(outcome->failure);
        EXPECT_EQ(outcome->failure->kind, ErrorKind::kRefused);
        EXPECT_TRUE(outcome->failure->remedy.ends_with("The rules before are back in force."));
        ++rolled_back_;
        break;
      case Outcome::Kind::kLockedDown: {
        ASSERT_TRUE(outcome->failure);
        EXPECT_EQ(outcome->failure->kind, ErrorKind::kLockedDown);
        const bool says_so = outcome->failure->remedy.find("Blocking all traffic failed as well") == std::string::npos;
        if (says_so) {
          EXPECT_TRUE(is_closed(live));
        }
        ++(says_so ? locked_down_ : stuck_);
        break;
      }
      case Outcome::Kind::kUnchanged:
      case Outcome::Kind::kDryRun: ADD_FAILURE() << "neither was asked for"; break;
    }
  }

  void report(const char* what) {
    std::printf("%s to %s, %s: %zu faults; applied %zu, refused %zu, rolled back %zu, locked down %zu, stuck %zu\n",
                before_.name.c_str(), after_.name.c_str(), what, injected_, applied_, refused_, rolled_back_,
                locked_down_, stuck_);
  }

  State before_;
  State after_;
  std::vector<Packet> packets_;  ///< Those that neither state accepts.
  Options options_;
  ruleset::RuleSet old_rules_, new_rules_;
  Tables old_tables_, new_tables_;
  size_t injected_ = 0, applied_ = 0, refused_ = 0, rolled_back_ = 0, locked_down_ = 0, stuck_ = 0;
};

TEST_P(Faults, EachErrorAtEachCallEndsInAStateThatIsSaid) {
  const auto possible = possible_errors();
  for (size_t call = 0; call < possible.size(); ++call) {
    for (const int error : possible[call]) {
      for (const auto kind : {Fault::Kind::kFailBefore, Fault::Kind::kFailAfter}) {
        SCOPED_TRACE("call " + std::to_string(call) + " fails with " + std::to_string(error));
        ASSERT_NO_FATAL_FAILURE(inject({call, kind, error, false}));
      }
    }
  }
  EXPECT_EQ(stuck_, 0U) << "one fault never prevents the lockdown";
  report("single errors");
}

TEST_P(Faults, EachErrorFromEachCallOnEndsInAStateThatIsSaid) {
  const auto possible = possible_errors();
  for (size_t call = 0; call < possible.size(); ++call) {
    for (const int error : possible[call]) {
      if (error == EINTR) continue;  // A signal interrupts one call; for ever it would be an endless loop, and rightly.
      SCOPED_TRACE("from call " + std::to_string(call) + " on, fails with " + std::to_string(error));
      ASSERT_NO_FATAL_FAILURE(inject({call, Fault::Kind::kFailBefore, error, true}));
    }
  }
  report("lasting errors");
}

TEST_P(Faults, KilledAtEachCallTheNextOneFinishes) {
  const auto possible = possible_errors();
  for (size_t call = 0; call < possible.size(); ++call) {
    for (const auto kind : {Fault::Kind::kDieBefore, Fault::Kind::kDieAfter}) {
      SCOPED_TRACE("killed at call " + std::to_string(call));
      ASSERT_NO_FATAL_FAILURE(inject({call, kind, 0, false}));
    }
  }
  report("kills");
}

TEST(KeeperFaults, KilledAtEachCallOfAnApplyTheKeeperBringsTheStateBeforeBack) {
  const State before = state("tails");
  const State after = state("tails-i2p");
  Options options;
  options.lockdown = policy::lockdown();
  options.confirm_within = std::chrono::milliseconds(1000);
  std::vector<std::vector<int>> possible;
  Tables old_tables, new_tables;
  {
    MachineInState machine(before);
    old_tables = tables_of(machine.kernel);
    FaultClock clock;
    FaultyKernel kernel(machine.kernel, clock);
    FaultyFiles files(machine.files, clock);
    ASSERT_TRUE(commit({kernel, files}, after.rules, options));
    new_tables = tables_of(machine.kernel);
    possible = clock.possible();
  }
  size_t kept = 0;
  for (size_t call = 0; call < possible.size(); ++call) {
    for (const auto kind : {Fault::Kind::kDieBefore, Fault::Kind::kDieAfter}) {
      SCOPED_TRACE("killed at call " + std::to_string(call));
      MachineInState machine(before);
      FaultClock clock(Fault{call, kind, 0, false});
      FaultyKernel kernel(machine.kernel, clock);
      FaultyFiles files(machine.files, clock);
      try {
        const auto outcome = commit({kernel, files}, after.rules, options);
      } catch (const Killed&) {
      }
      machine.files.close_all();
      const bool is_changed = !same(tables_of(machine.kernel), old_tables);
      const bool is_pending = pending_confirmation({machine.kernel, machine.files}, options.run_directory)->has_value();
      EXPECT_TRUE(is_pending || !is_changed) << "nothing changes without a keeper";
      if (is_pending) ++kept;
      clock.revive();
      const auto running = machine.files.processes;
      for (const auto& [process, work] : running) work(process);
      EXPECT_TRUE(same(tables_of(machine.kernel), old_tables));
    }
  }
  EXPECT_GT(kept, 10U);
}

INSTANTIATE_TEST_SUITE_P(EverySwitch, Faults,
                         ::testing::Values(Switch{"open", "tails"}, Switch{"tails", "tails-i2p"},
                                           Switch{"tails-classic", "lockdown"}, Switch{"lockdown", "tails"},
                                           Switch{"foreign router", "tails"}, Switch{"tails", "open"}),
                         [](const auto& parameter) {
                           std::string name = parameter.param.from + "_to_" + parameter.param.to;
                           std::ranges::replace_if(
                               name, [](char c) { return c == ' ' || c == '-'; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace tails::iptc
