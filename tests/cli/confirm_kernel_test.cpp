/// `apply --confirm` and `confirm` on the real kernel: whoever is killed, closed or asleep, the state before is back in
/// time, and never an open one.

#include <pty.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/cli/kernel_fixture.h"

namespace tails::test {
namespace {

using Json = nlohmann::json;

class ConfirmKernel : public CliKernel {
 protected:
  void SetUp() override {
    CliKernel::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    ASSERT_EQ(with_accounts({"--policy", "tails", "apply"}).status, 0);
    before_ = live();
  }
  void TearDown() override {
    // A test that failed must not leave a keeper that sleeps for an hour.
    if (keeper() > 0) kill(keeper(), SIGKILL);
  }

  static testbed::Finished apply(const std::string& seconds, const std::string& policy = "tails-i2p") {
    return with_accounts({"--policy", policy, "apply", "--confirm", seconds});
  }
  static std::string pending_file() {
    if (!std::filesystem::exists("/run/tails-iptc")) return {};
    for (const auto& entry : std::filesystem::directory_iterator("/run/tails-iptc")) {
      const std::string name = entry.path().filename();
      if (name.starts_with("confirm.") && !name.ends_with(".new")) return entry.path();
    }
    return {};
  }
  /// 0 where nothing is pending.
  static pid_t keeper() {
    const std::string path = pending_file();
    if (path.empty()) return 0;
    std::ifstream file(path, std::ios::binary);
    std::string line;
    std::getline(file, line);
    pid_t process = 0;
    file >> process;
    return process;
  }
  /// Not gone, and not only its remains that its new parent has not asked about.
  static bool is_alive(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(file, text);
    return text.find(") ") != std::string::npos && text[text.rfind(") ") + 2] != 'Z';
  }
  static void kill_keeper() {
    const pid_t process = keeper();
    ASSERT_GT(process, 0);
    ASSERT_EQ(kill(process, SIGKILL), 0);
    wait_until([&] { return !is_alive(process); });
  }
  /// Patience for a busy machine; nothing is judged by how long it took.
  static void wait_until(const std::function<bool()>& is_so) {
    for (int i = 0; i < 6000 && !is_so(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(is_so());
  }
  static void wait_until_decided() {
    wait_until([] { return pending_file().empty(); });
  }
  void expect_back() {
    ASSERT_NO_FATAL_FAILURE(wait_until_decided());
    EXPECT_EQ(live(), before_);
    EXPECT_EQ(with_accounts({"--policy", "tails", "status"}).status, 0);
  }

  std::string before_;
};

TEST_F(ConfirmKernel, ConfirmedInTimeTheChangeStays) {
  const auto applied = apply("600");
  EXPECT_EQ(applied.status, 0) << applied.err;
  EXPECT_EQ(applied.err, "");
  EXPECT_TRUE(
      without_time(applied.out)
          .ends_with("; nothing else gets out. Keep it with `tails-iptc confirm` within 600 s; without that, the "
                     "rules before come back."))
      << applied.out;
  const std::string changed = live();
  EXPECT_NE(changed, before_);
  const pid_t process = keeper();
  ASSERT_GT(process, 0);

  const auto status = with_accounts({"--policy", "tails-i2p", "status"});
  EXPECT_EQ(status.status, 0);
  EXPECT_TRUE(
      status.out.starts_with("In force: policy \"tails-i2p\".\n"
                             "Not confirmed: without `tails-iptc confirm`, the rules before come back in "))
      << status.out;
  const Json json = Json::parse(with_accounts({"--json", "--policy", "tails-i2p", "status"}).out).at("confirmation");
  EXPECT_LE(json.at("seconds_left"), 600);
  EXPECT_GT(json.at("seconds_left"), 0);
  EXPECT_EQ(json.at("unconfirmed"), "restored");
  EXPECT_EQ(json.at("keeper"), true);

  const auto confirmed = tails_iptc({"confirm"});
  EXPECT_EQ(confirmed.status, 0) << confirmed.err;
  EXPECT_EQ(confirmed.out, "Confirmed: what is in force stays.\n");
  EXPECT_EQ(confirmed.err, "");
  wait_until([&] { return !is_alive(process); });
  EXPECT_EQ(pending_file(), "");
  EXPECT_EQ(live(), changed);
  EXPECT_TRUE(Json::parse(with_accounts({"--json", "status"}).out).at("confirmation").is_null());

  const auto again = tails_iptc({"confirm"});
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(again.out, "");
  EXPECT_EQ(again.err,
            "tails-iptc: nothing waits to be confirmed\n  If the time was over, the state before is back already: "
            "`tails-iptc status` tells.\n");
}

TEST_F(ConfirmKernel, JsonSaysUntilWhenAndWhatElseAndThatItIsConfirmed) {
  const Json applied = Json::parse(with_accounts({"--json", "--policy", "tails-i2p", "apply", "--confirm", "600"}).out);
  EXPECT_EQ(applied.at("result"), "applied");
  EXPECT_EQ(applied.at("confirm_within"), 600);
  EXPECT_EQ(applied.at("unconfirmed"), "restored");
  EXPECT_EQ(Json::parse(tails_iptc({"--json", "confirm"}).out), Json({{"result", "confirmed"}}));
  const auto again = tails_iptc({"--json", "confirm"});
  EXPECT_EQ(again.status, 1);
  EXPECT_EQ(Json::parse(again.out).at("error"), "nothing waits to be confirmed");
  const Json unchanged =
      Json::parse(with_accounts({"--json", "--policy", "tails-i2p", "apply", "--confirm", "600"}).out);
  EXPECT_EQ(unchanged.at("result"), "unchanged");
  EXPECT_TRUE(unchanged.at("confirm_within").is_null());
  EXPECT_EQ(keeper(), 0) << "nothing was changed, so nothing is to be confirmed";
}

TEST_F(ConfirmKernel, NotConfirmedTheStateBeforeIsBack) {
  ASSERT_EQ(apply("1").status, 0);
  expect_back();
  EXPECT_EQ(tails_iptc({"confirm"}).status, 1);
}

TEST_F(ConfirmKernel, SecondsAreANumberOfAtLeastOne) {
  const auto refused = apply("0");
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.err, "tails-iptc: --confirm takes a number from 1 to 604800, not \"0\"\n");
  EXPECT_EQ(live(), before_);
}

TEST_F(ConfirmKernel, OneAtATime) {
  ASSERT_EQ(apply("600").status, 0);
  const std::string changed = live();
  const auto second = apply("600", "tails-classic");
  EXPECT_EQ(second.status, 3);
  EXPECT_EQ(
      second.err,
      "tails-iptc: an earlier change still waits to be confirmed\n  Keep it with `tails-iptc confirm`, or wait for "
      "the state before to come back. Nothing was changed.\n");
  EXPECT_EQ(live(), changed);
}

TEST_F(ConfirmKernel, AnOpenStateIsNotBroughtBackButAllTrafficBlocked) {
  ASSERT_EQ(tails_iptc({"reset", "--open"}).status, 0);
  const auto applied = apply("1", "tails");
  EXPECT_EQ(applied.status, 0) << applied.err;
  EXPECT_TRUE(without_time(applied.out)
                  .ends_with(" Keep it with `tails-iptc confirm` within 1 s; without that, all traffic is blocked, "
                             "because there was no filter before."))
      << applied.out;
  ASSERT_NO_FATAL_FAILURE(wait_until_decided());
  const auto status = with_accounts({"status"});
  EXPECT_EQ(status.status, 1);
  EXPECT_TRUE(status.out.starts_with(
      "Locked down: everything is blocked. `tails-iptc apply` puts policy \"tails\" in place.\n"))
      << status.out;
}

TEST_F(ConfirmKernel, TheTerminalIsClosed) {
  int master = -1;
  const pid_t child = forkpty(&master, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(TAILS_IPTC, TAILS_IPTC, "--user-map", kAccounts, "--policy", "tails-i2p", "apply", "--confirm", "2", nullptr);
    _exit(127);
  }
  int status = 0;
  // The answer must be read, or the terminal's buffer could hold the program up.
  std::string said;
  for (char part[512];;) {
    const ssize_t length = read(master, part, sizeof part);
    if (length <= 0) break;
    said.append(part, static_cast<size_t>(length));
  }
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0) << said;
  EXPECT_NE(said.find("within 2 s"), std::string::npos) << said;
  const pid_t process = keeper();
  ASSERT_GT(process, 0);
  // Neither in the terminal's session nor in its process group.
  EXPECT_EQ(getsid(process), process);
  close(master);
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGQUIT}) EXPECT_EQ(kill(process, signal), 0);
  expect_back();
}

TEST_F(ConfirmKernel, TheTerminalIsClosedAtOnce) {
  for (int milliseconds : {0, 5, 10, 20, 40, 80}) {
    SCOPED_TRACE(milliseconds);
    int master = -1;
    const pid_t child = forkpty(&master, nullptr, nullptr, nullptr);
    ASSERT_GE(child, 0);
    if (child == 0) {
      execl(TAILS_IPTC, TAILS_IPTC, "--user-map", kAccounts, "--policy", "tails-i2p", "apply", "--confirm", "1",
            nullptr);
      _exit(127);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    close(master);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    ASSERT_NO_FATAL_FAILURE(expect_back());
  }
}

TEST_F(ConfirmKernel, TheApplyingProcessIsKilledAsSoonAsItHasAKeeper) {
  for (int milliseconds : {0, 0, 1, 3, 10}) {
    SCOPED_TRACE(milliseconds);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const int nothing = open("/dev/null", O_RDWR);
      dup2(nothing, 1);
      dup2(nothing, 2);
      execl(TAILS_IPTC, TAILS_IPTC, "--user-map", kAccounts, "--policy", "tails-i2p", "apply", "--confirm", "1",
            nullptr);
      _exit(127);
    }
    while (keeper() == 0 && waitpid(child, nullptr, WNOHANG) == 0) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    ASSERT_NO_FATAL_FAILURE(expect_back());
  }
}

TEST_F(ConfirmKernel, AKilledKeeperIsSaidAndStartedAgainByTheNextRun) {
  ASSERT_EQ(apply("600").status, 0);
  const std::string changed = live();
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  const auto status = with_accounts({"--policy", "tails-i2p", "status"});
  EXPECT_TRUE(status.out.starts_with(
      "In force: policy \"tails-i2p\".\nNot confirmed: the process that takes the last change back was killed; "
      "`tails-iptc confirm` keeps the change, `tails-iptc reconfigure` sees to it that without that the rules before "
      "come back.\n"))
      << status.out;
  EXPECT_EQ(Json::parse(with_accounts({"--json", "status"}).out).at("confirmation").at("keeper"), false);

  const std::string notice =
      "tails-iptc: notice: An earlier change still waits to be confirmed; the process that takes it back was killed, "
      "and was started again.\n";
  EXPECT_EQ(with_accounts({"apply", "--dry-run"}).err, "") << "and it changes nothing";
  const auto mended = with_accounts({"reconfigure"});
  EXPECT_EQ(mended.status, 0);
  EXPECT_TRUE(mended.err.starts_with(notice)) << mended.err;
  EXPECT_EQ(live(), changed);
  const auto second = apply("600");
  EXPECT_EQ(second.err, "") << "the same policy, in force already";
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  const auto third = apply("600", "tails-classic");
  EXPECT_EQ(third.status, 3);
  EXPECT_EQ(third.err, notice +
                           "tails-iptc: an earlier change still waits to be confirmed\n  Keep it with `tails-iptc "
                           "confirm`, or wait for the state before to come back. Nothing was changed.\n");
  ASSERT_GT(keeper(), 0);
  EXPECT_EQ(tails_iptc({"confirm"}).status, 0);
  EXPECT_EQ(live(), changed);
}

TEST_F(ConfirmKernel, AKilledKeeperThatIsStartedAgainKeepsItsDeadline) {
  ASSERT_EQ(apply("2").status, 0);
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  ASSERT_EQ(with_accounts({"reconfigure"}).status, 0);
  expect_back();
}

/// Runs the program as if the machine had been suspended for a day: CLOCK_BOOTTIME is that much later.
testbed::Finished a_day_later(std::vector<std::string> arguments) {
  std::vector<std::string> words = {"unshare", "--time", "--boottime", "86400", TAILS_IPTC, "--user-map", kAccounts};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run(words);
}

TEST_F(ConfirmKernel, AKilledKeepersWorkIsDoneByTheNextRunThatComesTooLate) {
  ASSERT_EQ(apply("600").status, 0);
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  const auto mended = a_day_later({"reconfigure"});
  EXPECT_EQ(mended.status, 0);
  EXPECT_TRUE(mended.err.starts_with(
      "tails-iptc: notice: An earlier change was never confirmed, and the process that should have taken it back was "
      "killed; it was taken back only now.\n"))
      << mended.err;
  expect_back();

  ASSERT_EQ(apply("600").status, 0);
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  const auto late = a_day_later({"confirm"});
  EXPECT_EQ(late.status, 1);
  EXPECT_EQ(late.err,
            "tails-iptc: the time to confirm is over\n  The process that should have brought the state before back was "
            "killed; that state is back now.\n");
  expect_back();

  ASSERT_EQ(apply("600").status, 0);
  ASSERT_NO_FATAL_FAILURE(kill_keeper());
  const Json applied = Json::parse(a_day_later({"--json", "--policy", "tails-classic", "apply"}).out);
  EXPECT_EQ(applied.at("result"), "applied");
  EXPECT_EQ(
      applied.at("notices"),
      Json({"An earlier change was never confirmed, and the process that should have taken it back was killed; it "
            "was taken back only now."}));
}

/// The keeper's sleep ends as the kernel ends it when the machine wakes after the deadline: clock_nanosleep returns 0.
/// The clock is CLOCK_BOOTTIME, which goes on while the machine is suspended, and the time an absolute one.
TEST_F(ConfirmKernel, TheMachineIsSuspendedPastTheDeadline) {
  ASSERT_EQ(apply("3600").status, 0);
  const pid_t process = keeper();
  ASSERT_GT(process, 0);
  const auto sleeps = [&] {
    std::ifstream file("/proc/" + std::to_string(process) + "/syscall");
    long number = 0;
    std::string clock, flags;
    file >> number >> clock >> flags;
    return number == SYS_clock_nanosleep && clock == "0x7" && flags == "0x1";  // CLOCK_BOOTTIME, TIMER_ABSTIME
  };
  ASSERT_NO_FATAL_FAILURE(wait_until(sleeps));
  ASSERT_EQ(ptrace(PTRACE_SEIZE, process, nullptr, nullptr), 0);
  ASSERT_EQ(ptrace(PTRACE_INTERRUPT, process, nullptr, nullptr), 0);
  int status = 0;
  ASSERT_EQ(waitpid(process, &status, __WALL), process);
  user_regs_struct registers{};
  ASSERT_EQ(ptrace(PTRACE_GETREGS, process, nullptr, &registers), 0);
  registers.rax = 0;
  registers.orig_rax = static_cast<unsigned long long>(-1);  // No call is left that the kernel would begin again.
  ASSERT_EQ(ptrace(PTRACE_SETREGS, process, nullptr, &registers), 0);
  ASSERT_EQ(ptrace(PTRACE_DETACH, process, nullptr, nullptr), 0);
  expect_back();
}

TEST_F(ConfirmKernel, LockdownAndResetAreNotTakenBack) {
  ASSERT_EQ(apply("600").status, 0);
  const pid_t process = keeper();
  const auto locked = tails_iptc({"lockdown"});
  EXPECT_EQ(locked.status, 0);
  EXPECT_EQ(locked.err, "tails-iptc: notice: The earlier change that waited to be confirmed will not be taken back.\n");
  EXPECT_EQ(keeper(), 0);
  wait_until([&] { return !is_alive(process); });
}

}  // namespace
}  // namespace tails::test
