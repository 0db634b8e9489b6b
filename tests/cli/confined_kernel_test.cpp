/// Commands at work on the real kernel, as the kernel sees them: what they still may, and that they do their work with
/// it.

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include <nlohmann/json.hpp>

#include "confine/capabilities.h"
#include "tests/cli/kernel_fixture.h"

namespace tails::test {
namespace {

using Clock = std::chrono::steady_clock;

/// A `tails-iptc` in the background, in the calling thread's namespaces; ended with the object.
class Running {
 public:
  explicit Running(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {TAILS_IPTC, "--user-map", kAccounts});
    process_ = fork();
    if (process_ != 0) return;
    const int out = open("/run/running.out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    execv(words[0], words.data());
    _exit(127);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (process_ <= 0) return;
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] pid_t process() const { return process_; }

 private:
  pid_t process_ = -1;
};

std::string said_by_running() {
  std::ostringstream text;
  text << std::ifstream("/run/running.out").rdbuf();
  return text.str();
}

std::string status_of(pid_t process, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":")) return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  }
  return {};
}

confine::Capabilities set_of(pid_t process, const std::string& key) {
  return std::strtoull(status_of(process, key).c_str(), nullptr, 16);
}

class Confined : public CliKernel {
 protected:
  /// Waits until its filter is there and `keeps` is all that it has.
  /// `started_with`: what its bounding set may still have, though nothing can be run any more that would get it.
  static void expect_confined(pid_t process, confine::Capabilities keeps, confine::Capabilities started_with = 0) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    const auto is_confined = [&] {
      return status_of(process, "Seccomp") == "2" && (set_of(process, "CapPrm") & ~keeps) == 0;
    };
    while (!is_confined() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(status_of(process, "Seccomp"), "2") << said_by_running();
    EXPECT_EQ(status_of(process, "NoNewPrivs"), "1");
    EXPECT_EQ(set_of(process, "CapPrm") & ~keeps, 0U) << confine::names_of(set_of(process, "CapPrm"));
    EXPECT_EQ(set_of(process, "CapBnd") & ~(keeps | started_with), 0U) << confine::names_of(set_of(process, "CapBnd"));
    EXPECT_EQ(set_of(process, "CapEff"), keeps) << "it must be able to do its work";
    EXPECT_EQ(set_of(process, "CapInh"), 0U);
    EXPECT_EQ(set_of(process, "CapAmb"), 0U);
  }

  static pid_t child_of(pid_t process) {
    const std::string id = std::to_string(process);
    std::ifstream file("/proc/" + id + "/task/" + id + "/children");
    pid_t child = 0;
    file >> child;
    return child;
  }
};

TEST_F(Confined, ApplyThatWaitsForItsTurn) {
  ASSERT_EQ(mkdir("/run/tails-iptc", 0755), 0);
  const int lock = open("/run/tails-iptc/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(flock(lock, LOCK_EX), 0);
  const Running apply({"--wait", "60", "apply"});
  expect_confined(apply.process(), confine::kNetwork);
  close(lock);
}

TEST_F(Confined, TheProcessThatTakesAChangeBackAndItDoesSo) {
  ASSERT_EQ(with_accounts({"--policy", "tails", "apply"}).status, 0);
  const std::string before = live();
  ASSERT_EQ(with_accounts({"--policy", "tails-i2p", "apply", "--confirm", "2"}).status, 0);
  pid_t keeper = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/run/tails-iptc")) {
    if (!entry.path().filename().string().starts_with("confirm.")) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    std::string line;
    std::getline(file, line);
    file >> keeper;
  }
  ASSERT_GT(keeper, 0);
  expect_confined(keeper, confine::kNetwork);
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (live() != before && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(live(), before);
}

TEST_F(Confined, WatchAndTheProcessThatNamesPrograms) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  pid_t names = 0;
  {
    constexpr confine::Capabilities kLooks =
        confine::capability(CAP_SYS_PTRACE) | confine::capability(CAP_DAC_READ_SEARCH);
    constexpr confine::Capabilities kStart = kLooks | confine::kNetwork | confine::capability(CAP_SYSLOG);
    const Running watch({"watch"});
    expect_confined(watch.process(), confine::kNetwork, kStart);
    names = child_of(watch.process());
    ASSERT_GT(names, 0);
    expect_confined(names, kLooks, kStart);
  }
  const auto end = Clock::now() + std::chrono::seconds(60);
  const auto is_there = [&] { return kill(names, 0) == 0 && !status_of(names, "State").starts_with("Z"); };
  while (is_there() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(is_there()) << "it must end with watch";
}

TEST_F(Confined, ConntrackWatch) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const Running watch({"conntrack", "watch"});
  expect_confined(watch.process(), confine::kNetwork);
}

TEST_F(Confined, ProveThatReads) {
  ASSERT_EQ(mkfifo("/run/slow.rules", 0600), 0);
  const Running prove({"prove", "/run/slow.rules"});
  expect_confined(prove.process(), confine::kNetwork);
}

TEST_F(Confined, EachDoesItsWork) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"apply"},
                                             {"prove"},
                                             {"status"},
                                             {"conntrack", "list"},
                                             {"conntrack", "flush", "--revoked"},
                                             {"conntrack", "watch", "--for", "1"},
                                             {"watch", "--for", "1"},
                                             {"reconfigure"},
                                             {"lockdown"},
                                             {"reset", "--open"}}) {
    const auto finished = with_accounts(words);
    EXPECT_EQ(finished.status, 0) << words.front() << ": " << finished.err;
    EXPECT_EQ(finished.err.find("EPERM"), std::string::npos) << words.front() << ": " << finished.err;
  }
}

}  // namespace
}  // namespace tails::test
