#include <cstdio>

#include "iptc/encode.h"
#include "iptc/plan.h"
#include "iptc/transaction.h"
#include "tests/iptc/live_tables.h"
#include "tests/iptc/states.h"
#include "tests/iptc/traced_program.h"

// The real program on the real kernel, killed at each of its system calls in turn.
namespace tails::iptc {
namespace {

constexpr const char* kAccounts =
    "root=0,_apt=42,proxy=13,nobody=65534,debian-tor=107,clearnet=110,htp=111,tails-iuk-get-target-file=112,"
    "tails-upgrade-frontend=113,Debian-gdm=114,tor-launcher=115,i2psvc=116,i2pbrowser=117,amnesia=1000";

class KillLive : public LiveTest {
 protected:
  Traced apply(const std::string& profile, const Disturbance& disturbance = {}) {
    return run_traced({TAILS_IPTC, "--policy", profile, "--user-map", kAccounts, "apply"}, disturbance);
  }
  std::vector<kernel::RawTable> tables() {
    std::vector<kernel::RawTable> result;
    result.push_back(*kernel().read(Family::kIpv6, "filter"));
    result.push_back(*kernel().read(Family::kIpv4, "filter"));
    result.push_back(*kernel().read(Family::kIpv4, "nat"));
    return result;
  }
  /// The same transaction in this process, with a lock and a record of its own.
  void put(const std::string& profile) {
    const auto files = system_files();
    Options options;
    options.lock_path = testing::TempDir() + "tails-iptc-kill-test.lock";
    options.run_directory = testing::TempDir() + "tails-iptc-kill-test";
    const auto done = commit({kernel(), *files}, state(profile).rules, options);
    TAILS_ASSERT_OK(done);
    ASSERT_FALSE(done->failure);
  }
  /// Kills `apply` of `to` over `from` at every system call; an empty `from` is an open machine.
  void kill_at_each_call(const std::string& from, const std::string& to);
};

void KillLive::kill_at_each_call(const std::string& from, const std::string& to) {
  const auto begin = [&] {
    enter_fresh_namespace();
    if (!from.empty()) put(from);
  };
  ASSERT_NO_FATAL_FAILURE(begin());
  const auto before = tables();
  const Traced whole = apply(to);
  ASSERT_EQ(whole.status, 0);
  ASSERT_GT(whole.first_lock, 0U);
  const auto after = tables();
  std::vector<TableChange> changes;
  for (size_t i = 0; i < before.size(); ++i) {
    changes.push_back({before[i].family, *ruleset::parse_table_name(before[i].name), before[i], after[i], 0,
                       !kernel::same_rules(before[i], after[i])});
  }
  const Plan plan = make_plan(changes);
  std::optional<kernel::RawTable> guard;
  if (plan.guard_v4) guard = *encode({}, *plan.guard_v4, Features::all());

  size_t guards = 0;
  size_t mixed = 0;
  // What is before the lock only reads: the last of it stands for all.
  for (size_t call = whole.first_lock - 1; call < whole.calls; ++call) {
    SCOPED_TRACE("killed at system call " + std::to_string(call) + " of " + std::to_string(whole.calls));
    ASSERT_NO_FATAL_FAILURE(begin());
    const Traced killed = apply(to, {call});
    if (!killed.was_killed) {
      // How much there is to read of what others do on this machine (sockets, flows) varies by a few calls: this run
      // was at its end before the call came.
      ASSERT_GT(call + 32, whole.calls);
      ASSERT_EQ(killed.status, 0);
      break;
    }
    const auto left = tables();
    size_t changed = 0;
    for (size_t i = 0; i < left.size(); ++i) {
      const bool is_old = kernel::same_rules(left[i], before[i]);
      const bool is_new = kernel::same_rules(left[i], after[i]);
      const bool is_guard = i == 1 && guard && kernel::same_rules(left[i], *guard);
      ASSERT_TRUE(is_old || is_new || is_guard) << "table " << i << " is neither old nor guard nor new";
      if (is_guard) ++guards;
      if (!is_old) ++changed;
    }
    if (changed != 0 && changed != left.size()) ++mixed;
    ASSERT_NO_FATAL_FAILURE(put(to)) << "the next one finishes";
    const auto end = tables();
    for (size_t i = 0; i < end.size(); ++i) ASSERT_TRUE(kernel::same_rules(end[i], after[i]));
  }
  std::printf("%s to %s: %zu kills; left half-way %zu times, behind a guard %zu times; open never\n",
              from.empty() ? "open" : from.c_str(), to.c_str(), whole.calls - whole.first_lock + 1, mixed, guards);
  EXPECT_GT(mixed, 0U);
  EXPECT_EQ(guards > 0, guard.has_value());
}

TEST_F(KillLive, AtEachSystemCallFromOneProfileToAnotherTablesAreOldGuardOrNew) {
  kill_at_each_call("tails", "tails-classic");
}

TEST_F(KillLive, AtEachSystemCallOnAFreshMachineTablesAreOldOrNew) { kill_at_each_call("", "tails"); }

}  // namespace
}  // namespace tails::iptc
