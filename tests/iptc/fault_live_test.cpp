#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "iptc/encode.h"
#include "iptc/plan.h"
#include "iptc/transaction.h"
#include "tests/iptc/live_tables.h"
#include "tests/iptc/possible_errors.h"
#include "tests/iptc/states.h"
#include "tests/iptc/traced_program.h"

// Each system call of the real program on the real kernel, from the lock on, fails with each errno that it can have.
// By default a sample, the same each time; TAILS_EVERY_CALL=1 for every one.
namespace tails::iptc {
namespace {

constexpr const char* kAccounts =
    "root=0,_apt=42,proxy=13,nobody=65534,debian-tor=107,clearnet=110,htp=111,tails-iuk-get-target-file=112,"
    "tails-upgrade-frontend=113,Debian-gdm=114,tor-launcher=115,i2psvc=116,i2pbrowser=117,amnesia=1000";

using Tables = std::vector<kernel::RawTable>;

bool same(const Tables& a, const Tables& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return kernel::same_rules(x, y); });
}

bool is_filter(const kernel::RawTable& table) { return table.name == "filter"; }

bool has_policy(const kernel::RawTable& table, kernel::Policy policy) {
  return std::ranges::all_of(table.chains, [&](const auto& chain) { return !chain.policy || *chain.policy == policy; });
}

/// Which calls are the sanitizer's and not the program's: to ask whether memory can be read, it writes it to a pipe.
std::set<size_t> sanitizers_calls(const std::vector<long>& calls) {
  std::set<size_t> result;
  for (size_t i = 0; i + 3 < calls.size(); ++i) {
    if (calls[i] != SYS_pipe2 || calls[i + 1] != SYS_write || calls[i + 2] != SYS_close || calls[i + 3] != SYS_close) {
      continue;
    }
    for (size_t j = i; j < i + 4; ++j) result.insert(j);
  }
  return result;
}

struct Scenario {
  std::string name;
  std::string from;  ///< Empty: an open machine.
  std::string to;
  std::vector<std::string> options;
  size_t least = 0;  ///< Faults that there must be when all are put in.
};

void PrintTo(const Scenario& scenario, std::ostream* out) { *out << scenario.name; }

class FaultLive : public LiveTest, public ::testing::WithParamInterface<Scenario> {
 protected:
  void SetUp() override {
    LiveTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    // Keepers become our children, so that none outlives its test.
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  }

  Traced apply(const Disturbance& disturbance = {}) {
    std::vector<std::string> words = {TAILS_IPTC, "--policy", GetParam().to, "--user-map",
                                      kAccounts,  "--wait",   "0",           "apply"};
    words.insert(words.end(), GetParam().options.begin(), GetParam().options.end());
    return run_traced(words, disturbance);
  }

  Tables tables() {
    return {*kernel().read(Family::kIpv6, "filter"), *kernel().read(Family::kIpv4, "filter"),
            *kernel().read(Family::kIpv4, "nat")};
  }

  /// A transaction in this process, with a lock and a record of its own. Empty: opens.
  void put(const std::string& name) {
    const auto files = system_files();
    Options options;
    options.lock_path = testing::TempDir() + "tails-iptc-fault-test.lock";
    options.run_directory = testing::TempDir() + "tails-iptc-fault-test";
    const auto done =
        name.empty() ? reset_open({kernel(), *files}, options) : commit({kernel(), *files}, state(name).rules, options);
    TAILS_ASSERT_OK(done);
    ASSERT_FALSE(done->failure);
  }

  /// Ends what the program left behind; how many there were.
  static size_t end_keepers(bool shall_live = true) {
    // One that the program ended may need a moment to be gone.
    for (int i = 0; !shall_live && i < 1000; ++i) {
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

  void learn();
  void inject(const Failure& failure);
  void judge(const Traced& run, const Failure& failure, const Tables& left, size_t keepers);

  Tables old_, new_;
  std::optional<kernel::RawTable> guard_;
  Traced whole_;
  size_t injected_ = 0, open_ = 0;
  std::map<std::string, size_t> endings_;
  std::string missed_;
};

/// What the undisturbed run does.
void FaultLive::learn() {
  ASSERT_NO_FATAL_FAILURE(put(GetParam().from));
  old_ = tables();
  whole_ = apply();
  end_keepers();
  ASSERT_EQ(whole_.status, 0) << whole_.said;
  ASSERT_GT(whole_.first_lock, 0U);
  new_ = tables();
  std::vector<TableChange> changes;
  for (size_t i = 0; i < old_.size(); ++i) {
    changes.push_back({old_[i].family, *ruleset::parse_table_name(old_[i].name), old_[i], new_[i], 0,
                       !kernel::same_rules(old_[i], new_[i])});
  }
  const Plan plan = make_plan(changes);
  if (plan.guard_v4) guard_ = *encode({}, *plan.guard_v4, Features::all());
}

void FaultLive::inject(const Failure& failure) {
  ASSERT_NO_FATAL_FAILURE(put(GetParam().from));
  const Traced run = apply({.fail = failure});
  const size_t keepers = end_keepers(run.status == 0);
  if (!run.was_failed) {
    // How much there is to read of what others do on this machine (sockets, flows) varies by a few calls.
    ++endings_["missed"];
    missed_ += std::string(" ") + possible_errors(*failure.system_call)->name + "/" + std::to_string(failure.at);
    return;
  }
  ++injected_;
  const Tables left = tables();
  ASSERT_NO_FATAL_FAILURE(judge(run, failure, left, keepers));
  const Traced next = apply();
  end_keepers();
  ASSERT_EQ(next.status, 0) << "the next one: " << next.said;
  ASSERT_TRUE(same(tables(), new_)) << "by the next one";
}

void FaultLive::judge(const Traced& run, const Failure& failure, const Tables& left, size_t keepers) {
  const bool was_open = GetParam().from.empty();
  // To whom asks for a revision this means that the kernel lacks it.
  const bool may_lack =
      failure.system_call == SYS_getsockopt && (failure.error == ENOENT || failure.error == EPROTONOSUPPORT);
  bool is_open = false;
  for (size_t i = 0; i < left.size(); ++i) {
    const bool is_old = kernel::same_rules(left[i], old_[i]);
    const bool is_new = kernel::same_rules(left[i], new_[i]);
    const bool is_guard = i == 1 && guard_ && kernel::same_rules(left[i], *guard_);
    const bool is_lockdown = is_filter(left[i]) && has_policy(left[i], kernel::Policy::kDrop) && run.status == 4;
    ASSERT_TRUE(is_old || is_new || is_guard || is_lockdown || (may_lack && run.status == 0)) << run.said;
    is_open = is_open || (is_filter(left[i]) && !has_policy(left[i], kernel::Policy::kDrop));
  }
  const bool asks = std::ranges::find(GetParam().options, "--confirm") != GetParam().options.end();
  const std::string& said = run.said;
  const auto says = [&](const std::string& text) { return said.find(text) != std::string::npos; };
  switch (run.status) {
    case 0:
      ASSERT_FALSE(is_open);
      if (may_lack && !same(left, new_)) {
        ASSERT_FALSE(same(left, old_)) << said;
        ++endings_["applied in older words"];
        return;
      }
      ASSERT_TRUE(same(left, new_)) << said;
      ASSERT_EQ(keepers, asks ? 1U : 0U) << said;
      ++endings_["applied"];
      return;
    case 3:
      ASSERT_TRUE(same(left, old_)) << said;
      ASSERT_EQ(keepers, 0U) << said;
      if (is_open && !was_open) ++open_;
      if (says("The rules before are back in force.\n")) {
        ASSERT_FALSE(was_open) << "an open state is not put back";
        ++endings_["rolled back"];
      } else {
        ASSERT_TRUE(said.ends_with("Nothing was changed.\n")) << said;
        ++endings_["refused"];
      }
      break;
    case 4:
      ASSERT_FALSE(is_open) << said;
      ASSERT_TRUE(says("All traffic is blocked")) << said;
      ++endings_["locked down"];
      break;
    default: FAIL() << "exit status " << run.status << ": " << said;
  }
  // Fact: what failed, and how. Two calls are told in words of their own.
  const bool is_lock = failure.error == EWOULDBLOCK && failure.system_call == SYS_flock;
  ASSERT_TRUE(says("tails-iptc: ")) << said;
  ASSERT_TRUE(is_lock ? says(" is at work and did not end") || says(" holds the xtables lock /run/xtables.lock")
                      : says(std::string("(") + error_name(failure.error) + ")") ||
                            (may_lack && says("tails-iptc: this kernel")))
      << said;
  // Place.
  ASSERT_TRUE(is_lock || says("/run/") || says("/proc/") || says("table \"") || says("match \"") || says("target \"") ||
              says("IPv6 socket") || says("this kernel has no ") || says("cannot ask the kernel for \"") ||
              says("the process that would bring the state before back"))
      << said;
}

TEST_P(FaultLive, EndsWithTheRightCodeMessageAndTables) {
  ASSERT_NO_FATAL_FAILURE(learn());
  const std::set<size_t> not_ours = sanitizers_calls(whole_.system_calls);
  std::vector<Failure> faults;
  std::map<std::string, size_t> by_call;
  std::map<long, size_t> seen;
  for (size_t call = whole_.first_lock; call < whole_.system_calls.size(); ++call) {
    const long number = whole_.system_calls[call];
    const PossibleErrors* const possible = possible_errors(number);
    const size_t at = seen[number]++;
    ASSERT_NE(possible, nullptr) << "system call " << number << " is not in the table";
    if (not_ours.contains(call)) continue;
    for (const int error : possible->errors) {
      faults.push_back({at, error, false, number});
      if (possible->may_do_its_work) faults.push_back({at, error, true, number});
      by_call[possible->name] += possible->may_do_its_work ? 2 : 1;
    }
  }
  ASSERT_GE(faults.size(), GetParam().least);
  // A stride that shares no factor with the lengths of the lists, so that every errno has its turn.
  const size_t stride = std::getenv("TAILS_EVERY_CALL") != nullptr ? 1 : 47;
  size_t tried = 0;
  for (size_t i = 0; i < faults.size(); i += stride, ++tried) {
    const Failure& fault = faults[i];
    SCOPED_TRACE(std::string(possible_errors(*fault.system_call)->name) + " " + std::to_string(fault.at) + ", " +
                 (fault.is_after ? "does its work and fails with " : "fails with ") + error_name(fault.error));
    inject(fault);
    // Each one is worth seeing, but not a thousand of them.
    constexpr int kEnough = 30;
    if (::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count() > kEnough) break;
  }
  std::printf("%s: %zu faults put in of %zu possible;", GetParam().name.c_str(), injected_, faults.size());
  for (const auto& [ending, count] : endings_) std::printf(" %s %zu,", ending.c_str(), count);
  std::printf(" open %zu. Possible:", open_);
  for (const auto& [name, count] : by_call) std::printf(" %s %zu", name.c_str(), count);
  std::printf("\n");
  EXPECT_EQ(open_, 0U);
  EXPECT_GE(injected_ + 2, tried - tried / 20) << "a few may miss; these did:" << missed_;
  EXPECT_GE(injected_, faults.size() / stride / 2);
}

INSTANTIATE_TEST_SUITE_P(Switch, FaultLive,
                         ::testing::Values(Scenario{"BetweenProfiles", "tails", "tails-classic", {}, 600},
                                           Scenario{"OnAnOpenMachine", "", "tails", {}, 600},
                                           Scenario{"WithAKeeper", "tails", "tails-i2p", {"--confirm", "600"}, 600}),
                         [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace tails::iptc
