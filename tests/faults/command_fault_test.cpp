/// Each command that changes something, on the real kernel: every one of its system calls is the last one, or fails
/// with each errno that it can have. By default a sample (tests/faults/campaign); scripts/faults for all of them.
///
/// What is wanted of every such run: each table is old, guard or new, or all traffic is blocked and it says so; nothing
/// is open that was not; the message names place and errno and the state that is left behind; and the next run
/// finishes.

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "host/network_namespace.h"
#include "iptc/decode.h"
#include "iptc/encode.h"
#include "iptc/plan.h"
#include "iptc/transaction.h"
#include "net/errno_words.h"
#include "proof/difference.h"
#include "proof/witness.h"
#include "tests/faults/campaign.h"
#include "tests/faults/machine_state.h"
#include "tests/faults/scenario.h"
#include "tests/kernel/private_machine.h"

namespace tails::faults {
namespace {

constexpr size_t kErrorSample = 12;
constexpr size_t kKillSample = 8;

/// To whom opens a file, asks for it or removes it this means that there is none, whatever was there: nobody can tell.
bool says_that_there_is_none(const Failure& failure) {
  constexpr std::array kOfFiles = {SYS_openat,   SYS_newfstatat, SYS_statx,  SYS_access,
                                   SYS_readlink, SYS_getdents64, SYS_unlink, SYS_umount2};
  const bool is_no_mount = failure.system_call == SYS_umount2 && failure.error == EINVAL;
  return is_no_mount || (failure.error == ENOENT && std::ranges::find(kOfFiles, failure.system_call) != kOfFiles.end());
}

/// To whom asks for a revision this means that the kernel lacks it.
bool says_that_the_kernel_lacks_it(const Failure& failure) {
  return failure.system_call == SYS_getsockopt && (failure.error == ENOENT || failure.error == EPROTONOSUPPORT);
}

/// The rules of the machine itself (""), or of a namespace ("tbb ").
ruleset::RuleSet rules_of(const MachineState& state, const std::string& place) {
  ruleset::RuleSet rules;
  for (const auto& [name, table] : state.tables) {
    if (name.substr(0, name.find("IPv")) != place) continue;
    auto decoded = iptc::decode(table);
    if (decoded) {
      rules.tables.push_back(std::move(*decoded));
    } else {
      ADD_FAILURE() << name << ": " << decoded.error().message;
    }
  }
  return rules;
}

/// Other words, and for every packet the same meaning.
void expect_same_meaning(const MachineState& left, const MachineState& wanted, const std::vector<std::string>& tables) {
  std::set<std::string> places;
  for (const std::string& name : tables) places.insert(name.substr(0, name.find("IPv")));
  for (const std::string& place : places) {
    const ruleset::RuleSet a = rules_of(left, place), b = rules_of(wanted, place);
    const auto compared = proof::compare(a, b, proof::Familiar::plain());
    TAILS_ASSERT_OK(compared);
    EXPECT_TRUE(compared->is_same()) << place << ": " << compared->differences.size() << " differences";
  }
}

class CommandFaults : public testbed::PrivateMachine, public ::testing::WithParamInterface<Scenario> {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    private_etc();
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0) << "keepers become our children, so that none outlives its test";
    auto created = testbed::NetworkNamespace::create();
    TAILS_ASSERT_OK(created);
    space_.emplace(std::move(*created));
    inside_.emplace(*space_);
    testbed::set_sysctl("net.ipv4.conf.all.rp_filter", "0");
    write_policy_of_two_guests(kTwoGuests);
  }
  void TearDown() override {
    end_keepers();
    take_guests_down();
  }

  static Traced run_command(const Disturbance& disturbance = {}) {
    std::vector<std::string> words = GetParam().command;
    words.insert(words.begin(), TAILS_IPTC_PROGRAM);
    return run_traced({.arguments = words, .environment = GetParam().environment, .shares_run = true}, disturbance);
  }
  static testbed::Finished run_plain(std::vector<std::string> words) {
    words.insert(words.begin(), TAILS_IPTC_PROGRAM);
    auto done = testbed::run({.arguments = std::move(words), .environment = GetParam().environment});
    if (done) return *done;
    ADD_FAILURE() << done.error().message;
    return {};
  }

  /// Ends what the program left behind; how many there were. `were_ended`: the program says that it ended them, which
  /// takes a moment.
  static size_t end_keepers(bool were_ended = false) {
    for (int i = 0; were_ended && i < 1000; ++i) {
      if (waitpid(-1, nullptr, WNOHANG) < 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    std::ifstream file("/proc/thread-self/children");
    size_t count = 0;
    for (pid_t child = 0; file >> child; ++count) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    return count;
  }

  static MachineState look() {
    auto state = look_at_machine();
    if (state) return std::move(*state);
    ADD_FAILURE() << state.error().message;
    return {};
  }
  void put_back() {
    end_keepers();
    take_guests_down();
    TAILS_ASSERT_OK(put_machine_back(old_));
    if (GetParam().each_time) {
      TAILS_ASSERT_OK(GetParam().each_time());
    }
  }

  void learn();
  void judge_tables(const MachineState& left, bool is_locked_down, bool is_in_older_words = false);
  void judge_killed(const MachineState& left, size_t keepers);
  void judge_ended(const Traced& run, const Failure& failure, const MachineState& left, size_t keepers);
  void judge_refusal(const Traced& run, const Failure& failure, const MachineState& left);
  static void expect_no_guest_on_a_cable_without_rules(const MachineState& left);
  void expect_mended(bool was_misled = false);
  [[nodiscard]] static bool is_ignored(const std::string& name) {
    return GetParam().ignored && GetParam().ignored(name);
  }
  [[nodiscard]] static bool may_differ(const std::string& name) {
    return is_ignored(name) || (GetParam().may_differ && GetParam().may_differ(name));
  }
  /// What differs and is not ignored.
  [[nodiscard]] static std::vector<std::string> differing(const MachineState& left, const MachineState& wanted) {
    std::vector<std::string> names = differences(left, wanted);
    std::erase_if(names, is_ignored);
    return names;
  }
  /// What differs and may not.
  [[nodiscard]] static std::vector<std::string> strange(const MachineState& left, const MachineState& wanted) {
    std::vector<std::string> names = differences(left, wanted);
    std::erase_if(names, may_differ);
    return names;
  }
  static void write_down(const std::string& fault, const Traced& run);

  std::optional<testbed::NetworkNamespace> space_;
  std::optional<testbed::Inside> inside_;
  MachineState old_;         ///< As put back; without what `each_time` makes.
  MachineState before_run_;  ///< With it.
  MachineState new_;
  std::map<std::string, iptc::kernel::RawTable> guards_;  ///< By the names of tables.
  Traced whole_;
  Tally tally_;
};

/// What the undisturbed run does.
void CommandFaults::learn() {
  for (const Scenario::Words& words : GetParam().before) {
    const testbed::Finished done = run_plain(words);
    ASSERT_EQ(done.status, 0) << done.err;
  }
  if (GetParam().arrange) {
    TAILS_ASSERT_OK(GetParam().arrange());
  }
  old_ = look();
  ASSERT_NO_FATAL_FAILURE(put_back());
  before_run_ = look();
  if (!GetParam().each_time) {
    ASSERT_THAT(differences(old_, before_run_), testing::IsEmpty()) << "the test bed itself";
  }
  whole_ = run_command();
  ASSERT_EQ(whole_.status, 0) << whole_.err;
  ASSERT_FALSE(whole_.system_calls.empty());
  ASSERT_EQ(end_keepers(), GetParam().has_keeper ? 1U : 0U);
  new_ = look();
  std::vector<iptc::TableChange> changes;
  for (const auto& [name, table] : before_run_.tables) {
    if (!name.starts_with("IPv")) continue;
    const auto& wanted = new_.tables.at(name);
    changes.push_back({table.family, *ruleset::parse_table_name(table.name), table, wanted, 0,
                       !iptc::kernel::same_rules(table, wanted)});
  }
  const iptc::Plan plan = iptc::make_plan(changes);
  if (plan.guard_v4) guards_.emplace("IPv4 filter", *iptc::encode({}, *plan.guard_v4, iptc::Features::all()));
  if (plan.guard_v6) guards_.emplace("IPv6 filter", *iptc::encode({}, *plan.guard_v6, iptc::Features::all()));
}

/// Each of the machine's own tables is old, guard or new, or a filter that blocks all. `is_in_older_words`: or it says
/// what the new one says to a kernel that seems to lack something (tests/iptc/older_kernels_test holds both for the
/// same).
void CommandFaults::judge_tables(const MachineState& left, bool is_locked_down, bool is_in_older_words) {
  for (const auto& [name, table] : left.tables) {
    if (!name.starts_with("IPv")) continue;
    const auto guard = guards_.find(name);
    const bool is_one = iptc::kernel::same_rules(table, before_run_.tables.at(name)) ||
                        iptc::kernel::same_rules(table, new_.tables.at(name)) ||
                        (guard != guards_.end() && iptc::kernel::same_rules(table, guard->second)) ||
                        (is_locked_down && is_closed(left)) || (is_in_older_words && !is_open(left));
    ASSERT_TRUE(is_one) << name << " is neither old nor guard nor new";
  }
  if (is_open(left) && !is_open(before_run_) && !is_open(new_)) {
    ++tally_.open;
    FAIL() << "open";
  }
  expect_no_guest_on_a_cable_without_rules(left);
}

void CommandFaults::expect_no_guest_on_a_cable_without_rules(const MachineState& left) {
  for (const auto& [name, text] : left.values) {
    if (!name.starts_with("interface ") || !name.ends_with(" veth0")) continue;
    const std::string guest = name.substr(10, name.size() - 16);
    const auto filter = left.tables.find(guest + " IPv4 filter");
    ASSERT_TRUE(filter != left.tables.end() && filter->second.find("OUTPUT")->policy == iptc::kernel::Policy::kDrop)
        << guest << " is on a cable, and open inside";
  }
}

void CommandFaults::judge_killed(const MachineState& left, size_t keepers) {
  const auto is_as_before = [&](const auto& table) {
    return iptc::kernel::same_rules(table.second, before_run_.tables.at(table.first));
  };
  if (GetParam().has_keeper) {
    ASSERT_TRUE(keepers == 1 || std::ranges::all_of(left.tables, is_as_before)) << "nothing changes without a keeper";
  }
  ASSERT_NO_FATAL_FAILURE(judge_tables(left, GetParam().blocks));
  for (const auto& [name, value] : left.values) {
    // What is beside a file is on its way to replace it.
    if (may_differ(name) || name.ends_with(".new") || name.ends_with(".removed")) continue;
    const auto before = before_run_.values.find(name);
    const auto after = new_.values.find(name);
    // Refilled in place, because namespaces have them mounted: in between it is empty, which names no resolver.
    const bool is_resolver_file = name == "file " + std::string(kResolverFile) || name == "file /etc/resolv.conf";
    const bool is_being_refilled = is_resolver_file && value == "644\n";
    ASSERT_TRUE(is_being_refilled || (before != before_run_.values.end() && same_value(name, before->second, value)) ||
                (after != new_.values.end() && same_value(name, after->second, value)))
        << name << " is neither as before nor as after: " << value;
  }
}

void CommandFaults::judge_ended(const Traced& run, const Failure& failure, const MachineState& left, size_t keepers) {
  const bool is_absent = says_that_there_is_none(failure);
  const bool may_lack = says_that_the_kernel_lacks_it(failure);
  ASSERT_NO_FATAL_FAILURE(judge_tables(left, run.status == 4 || GetParam().blocks, may_lack && run.status == 0));
  const auto asks_for_it = [&](const KeptFailure& kept) { return kept.must_block && kept.is(failure); };
  if (GetParam().must_block || std::ranges::any_of(GetParam().kept, asks_for_it)) {
    ASSERT_FALSE(is_open(left)) << run.err;
  }
  switch (run.status) {
    case 0: {
      ASSERT_EQ(keepers, GetParam().has_keeper ? 1U : 0U) << run.err;
      const auto names = differing(left, new_);
      if (names.empty()) {
        ++tally_.endings[run.err == whole_.err ? "done" : "done, with a warning"];
        return;
      }
      if (is_absent) {
        ++tally_.endings["done without what is not there"];
        return;
      }
      // What could not be done is said, and is no rule; other words for the same need no word.
      if (run.err == whole_.err) {
        const auto is_table = [](const std::string& name) { return name.find("IPv") != std::string::npos; };
        ASSERT_TRUE(may_lack && std::ranges::all_of(names, is_table))
            << "silent about " << testing::PrintToString(names);
        expect_same_meaning(left, new_, names);
        ++tally_.endings["done in older words"];
        return;
      }
      ++tally_.endings["done in part, with a warning"];
      return;
    }
    case 1:
    case 2: {
      ASSERT_TRUE(is_absent && !run.err.empty()) << run.err;
      EXPECT_THAT(differing(left, before_run_), testing::IsEmpty()) << run.err;
      const std::string& nothing = GetParam().nothing_left;
      const bool is_nothing = !nothing.empty() && run.err.find(nothing) != std::string::npos;
      ++tally_.endings[is_nothing ? "nothing to do" : "refused without what is not there"];
      return;
    }
    case 3:
    case 4: ASSERT_EQ(keepers, 0U) << run.err; return judge_refusal(run, failure, left);
    default: FAIL() << "exit status " << run.status << ": " << run.err;
  }
}

void CommandFaults::judge_refusal(const Traced& run, const Failure& failure, const MachineState& left) {
  const std::string& said = run.err;
  const auto says = [&](const std::string& text) { return said.find(text) != std::string::npos; };
  if (run.status == 4) {
    ASSERT_TRUE(is_closed(left)) << said;
    ASSERT_TRUE(says("All traffic is blocked")) << said;
    ++tally_.endings["locked down"];
  } else if (says("The rules before are back in force.")) {
    ASSERT_FALSE(is_open(before_run_)) << "an open state is not put back";
    EXPECT_THAT(strange(left, before_run_), testing::IsEmpty()) << said;
    ++tally_.endings["rolled back"];
  } else if (says("Nothing was changed.") || says("No flow was removed.")) {
    EXPECT_THAT(differing(left, before_run_), testing::IsEmpty()) << said;
    ++tally_.endings["refused"];
  } else {
    EXPECT_TRUE(says("run it again") || says("Flows that were not reached yet are still there.") ||
                says("The rules were not changed.") || says("run `tails-iptc apply`"))
        << said;
    ++tally_.endings["refused half-way"];
  }
  // Fact: what failed, and how. Locks, and rules that change while they are read, are told in words of their own.
  ASSERT_TRUE(says("tails-iptc: ") || says(".toml:")) << said;
  const bool is_lock = failure.error == EWOULDBLOCK && failure.system_call == SYS_flock;
  // What is not there is no failure, but what it would have said is missing, and what is to go stays. A question that
  // went out although it was interrupted is asked again, which the kernel refuses while it answers.
  if (says_that_there_is_none(failure)) return;
  // A folder that is said to be there is none to make: what is wanted of it next says that it is not.
  if (failure.error == EEXIST && failure.system_call == SYS_mkdir) return;
  if (failure.error == EINTR && failure.is_after && says("(EBUSY)")) return;
  const bool is_contention = failure.error == EAGAIN && failure.system_call == SYS_getsockopt;
  if (is_contention && says("another program changes the rules all the time")) return;
  ASSERT_TRUE(is_lock ? says(" is at work and did not end") || says(" holds the xtables lock /run/xtables.lock")
                      : says("(" + errno_name(failure.error) + ")") || says("this kernel"))
      << said;
}

/// By the same command, run again. `was_misled`: it had been told that a file is not there, and did without what that
/// would have said; what is lost so comes back with the commands before.
void CommandFaults::expect_mended(bool was_misled) {
  const Scenario& scenario = GetParam();
  end_keepers();
  const Scenario::Words& words = scenario.mend.empty() ? scenario.command : scenario.mend;
  testbed::Finished next = run_plain(words);
  end_keepers();
  const auto is_done = [&] {
    return next.status == 0 ||
           (!scenario.nothing_left.empty() && next.err.find(scenario.nothing_left) != std::string::npos);
  };
  if (was_misled && (!is_done() || !differing(look(), new_).empty())) {
    for (const Scenario::Words& earlier : scenario.before) run_plain(earlier);
    next = run_plain(words);
    end_keepers();
  }
  ASSERT_TRUE(is_done()) << "the next run: " << next.err;
  ASSERT_THAT(differing(look(), new_), testing::IsEmpty()) << "by the next run: " << next.err;
}

/// For people: TAILS_FAULT_LOG=FILE.
void CommandFaults::write_down(const std::string& fault, const Traced& run) {
  const char* const path = std::getenv("TAILS_FAULT_LOG");
  if (path == nullptr) return;
  std::ofstream(path, std::ios::app) << GetParam().name << ": " << fault << ": " << run.status << "\n" << run.err;
}

/// A sample has besides each failure that a whole campaign once found something by.
std::vector<size_t> chosen_errors(const Possible& possible) {
  std::vector<size_t> all = chosen(possible.failures.size(), kErrorSample);
  if (is_whole()) return all;
  for (const KeptFailure& kept : CommandFaults::GetParam().kept) {
    size_t count = 0;
    for (size_t i = 0; i < possible.failures.size(); ++i) {
      if (!kept.is(possible.failures[i])) continue;
      all.push_back(i);
      ++count;
    }
    EXPECT_GT(count, 0U) << "a kept failure that there is no more";
  }
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

TEST_P(CommandFaults, EndInAStateThatIsSaidAndIsMendedByTheNextRun) {
  ASSERT_NO_FATAL_FAILURE(learn());
  const Possible possible = possible_failures(whole_.system_calls);
  ASSERT_THAT(possible.unknown, testing::IsEmpty()) << "not in the table of possible errors";
  ASSERT_GE(possible.failures.size(), GetParam().least);
  tally_.possible_errors = possible.failures.size();
  tally_.possible_kills = whole_.system_calls.size();
  // Each one is worth seeing, but not a thousand of them.
  constexpr int kEnough = 30;
  const auto is_enough = [] {
    return ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count() > kEnough;
  };

  for (const size_t index : chosen_errors(possible)) {
    if (is_enough()) break;
    const Failure& failure = possible.failures[index];
    SCOPED_TRACE(describe(failure));
    ASSERT_NO_FATAL_FAILURE(put_back());
    const Traced run = run_command({.fail = failure});
    const size_t keepers = end_keepers(GetParam().has_keeper && run.status != 0);
    if (!run.was_failed) {
      ++tally_.missed;
      continue;
    }
    ++tally_.errors;
    write_down(describe(failure), run);
    judge_ended(run, failure, look(), keepers);
    // Of what is done, in other words, there is nothing left to do that would find the old words again.
    const bool is_over = !GetParam().nothing_left.empty() && says_that_the_kernel_lacks_it(failure);
    expect_mended(says_that_there_is_none(failure) || is_over);
  }
  for (const size_t call : chosen(whole_.system_calls.size(), kKillSample)) {
    if (is_enough()) break;
    SCOPED_TRACE("killed at system call " + std::to_string(call) + " of " + std::to_string(whole_.system_calls.size()));
    ASSERT_NO_FATAL_FAILURE(put_back());
    const Traced run = run_command({.kill_at = call});
    const size_t keepers = end_keepers();
    if (!run.was_killed) {
      ++tally_.missed;
      continue;
    }
    ++tally_.kills;
    judge_killed(look(), keepers);
    expect_mended();
  }
  tally_.print(GetParam().name);
  EXPECT_EQ(tally_.open, 0U);
  EXPECT_LE(tally_.missed, 2 + (tally_.errors + tally_.kills) / 20)
      << "how much there is to read varies a little; possible: " << testing::PrintToString(possible.by_call);
}

INSTANTIATE_TEST_SUITE_P(Each, CommandFaults, ::testing::ValuesIn(all_scenarios()),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tails::faults
