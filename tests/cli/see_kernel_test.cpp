/// `watch`, `leaktest` and `report` as users run them, on the real kernel.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
#include "tests/kernel/harness/all_namespaces_log.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/kernel_test.h"

namespace tails::test {
namespace {

using Json = nlohmann::json;
using testbed::SocketOwner;

/// A machine with a network of its own, and a /run and a /tmp/see.* that only this test has.
class See : public testbed::KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto bed = testbed::Testbed::build({});
    TAILS_ASSERT_OK(bed);
    bed_.emplace(std::move(*bed));
    inside_.emplace(bed_->host);
    ASSERT_EQ(unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
  }

  static std::string read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  /// The profile, but logging to NFLOG group 5.
  static void apply_nflog() {
    std::string text = read(TAILS_POLICIES "/tails.toml");
    const std::string from = "log = \"kernel\"";
    text.replace(text.find(from), from.size(), "log = \"nflog:5\"");
    std::ofstream("/run/policy.toml") << text;
    const auto applied = with_accounts({"--policy", "/run/policy.toml", "apply"});
    ASSERT_EQ(applied.status, 0) << applied.err;
  }

  /// Sends `count` blocked datagrams: of `users` users, to `places` destinations, in turn; `per_second` 0: as fast as
  /// it goes.
  static void send_blocked(unsigned count, unsigned users, unsigned places, unsigned per_second,
                           const std::string& text = "x") {
    const auto start = std::chrono::steady_clock::now();
    unsigned sent = 0;
    while (sent < count) {
      const SocketOwner owner(Uid{5000 + sent / 20 % users});
      const auto socket = testbed::open_socket(Family::kIpv4, SOCK_DGRAM);
      ASSERT_TRUE(socket.has_value());
      for (int i = 0; i < 20 && sent < count; ++i, ++sent) {
        const IpAddress to = IpAddress::v4(IpAddress::v4(198, 18, 0, 0).v4_bits() + sent % places);
        testbed::send_to(socket->get(), {to, 4000}, text);
      }
      if (per_second > 0)
        std::this_thread::sleep_until(start + std::chrono::microseconds(sent * 1'000'000ULL / per_second));
    }
  }

  std::optional<testbed::Testbed> bed_;
  std::optional<testbed::Inside> inside_;
};

/// A `tails-iptc watch` in the background, its output in a file.
class Watching {
 public:
  explicit Watching(std::vector<std::string> words) {
    child_ = fork();
    if (child_ == 0) {
      const int out = open("/run/watch.out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(out, STDOUT_FILENO);
      // What a sanitizer keeps for later would hide what the program keeps.
      setenv("ASAN_OPTIONS", "quarantine_size_mb=1:thread_local_quarantine_size_kb=64", 1);
      std::vector<std::string> all{TAILS_IPTC, "--user-map", kAccounts};
      all.insert(all.end(), words.begin(), words.end());
      std::vector<char*> raw;
      for (std::string& word : all) raw.push_back(word.data());
      raw.push_back(nullptr);
      execv(TAILS_IPTC, raw.data());
      _exit(127);
    }
    for (int i = 0; i < 500 && !is_listening(); ++i) usleep(10000);
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching() {
    if (child_ > 0) kill(child_, SIGKILL), waitpid(child_, nullptr, 0);
  }

  /// Reads nothing any more, until `go_on`.
  void stand_still() const {
    kill(child_, SIGSTOP);
    int status = 0;
    waitpid(child_, &status, WUNTRACED);
    ASSERT_TRUE(WIFSTOPPED(status));
  }
  /// And reads what is left: until it waits, and goes on waiting.
  void go_on() const {
    kill(child_, SIGCONT);
    constexpr int kMost = 1000, kInARow = 10;
    for (int i = 0, waits = 0; i < kMost && waits < kInARow; ++i) {
      usleep(20000);
      waits = is_waiting() ? waits + 1 : 0;
    }
  }

  /// Ends it; what it printed, and the most memory that it had, in KiB.
  std::string finish(long* kib = nullptr) {
    usleep(600000);
    if (kib != nullptr) *kib = most_memory();
    kill(child_, SIGTERM);
    int status = 0;
    waitpid(child_, &status, 0);
    child_ = -1;
    EXPECT_EQ(status, 0);
    std::ifstream file("/run/watch.out");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  /// KiB. (ru_maxrss of wait4 begins with what this process had at the fork.)
  [[nodiscard]] long most_memory() const {
    std::ifstream file("/proc/" + std::to_string(child_) + "/status");
    for (std::string word; file >> word;) {
      long kib = 0;
      if (word == "VmHWM:" && file >> kib) return kib;
    }
    ADD_FAILURE() << "no VmHWM";
    return 0;
  }
  /// Its netlink socket is bound to the group, or it has the kernel's log; and it has come to where it waits for more.
  [[nodiscard]] bool is_listening() const {
    bool has_log = false;
    std::ifstream table("/proc/net/netfilter/nfnetlink_log");
    for (std::string line; std::getline(table, line);) has_log |= line.find("    5 ") == 0;
    std::error_code error;
    for (const auto& each : std::filesystem::directory_iterator("/proc/" + std::to_string(child_) + "/fd", error)) {
      has_log |= std::filesystem::read_symlink(each, error) == "/dev/kmsg";
    }
    return has_log && is_waiting();
  }
  [[nodiscard]] bool is_waiting() const {
    std::ifstream status("/proc/" + std::to_string(child_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.find("State:") == 0) return line.find('S', 6) != std::string::npos;
    }
    return false;
  }

  pid_t child_ = -1;
};

TEST_F(See, WatchNamesUserProgramDestinationAndPolicyEntry) {
  apply_nflog();
  Watching watching({"--json", "--policy", "/run/policy.toml", "watch"});
  const auto sent = testbed::as_user(Uid{1000}, [] {
    const auto socket = testbed::open_socket(Family::kIpv4, SOCK_DGRAM,
                                             {.device = {}, .from = Endpoint{IpAddress::v4(0), 5555}, .mark = {}});
    const int error = testbed::send_to(socket->get(), {testbed::kLanResolver, 53}, "x");
    sleep(1);
    return testbed::errno_name(error);
  });
  TAILS_ASSERT_OK(sent);
  EXPECT_EQ(*sent, "EPERM");
  Json found;
  std::istringstream lines(watching.finish());
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    if (json["sport"] == 5555) found = json;
  }
  EXPECT_EQ(found["event"], "blocked");
  EXPECT_EQ(found["user"], "amnesia");
  EXPECT_EQ(found["program"], "test_see");
  EXPECT_EQ(found["proto"], "udp");
  EXPECT_EQ(found["dst"], "192.168.50.53");
  EXPECT_EQ(found["dport"], 53);
  EXPECT_EQ(found["out"], "eth1");
  EXPECT_EQ(found["entry"], "[lan] closed");
}

TEST_F(See, WatchAccountsForEveryPacketOfAFlood) {
  apply_nflog();
  Watching watching({"--json", "--policy", "/run/policy.toml", "watch", "--summary"});
  constexpr unsigned kPackets = 30000;
  send_blocked(kPackets, 1, 10, 10000);
  const Json summary = Json::parse(watching.finish());
  uint64_t in_rows = 0;
  for (const Json& row : summary["rows"]) {
    if (row["dport"] == 4000) in_rows += row["times"].get<uint64_t>();
  }
  // Seen or said to be lost: nothing goes unnoticed.
  EXPECT_GE(in_rows + summary["lost"].get<uint64_t>(), kPackets);
  EXPECT_LE(in_rows, kPackets);
  std::printf("%u packets sent, %lu seen, %lu told to be lost\n", kPackets, in_rows, summary["lost"].get<uint64_t>());
}

// A loss that happens: nobody reads, and the socket's buffer (16 MiB are asked for, the kernel doubles that) is too
// small for what comes.
TEST_F(See, WatchCountsWhatDidNotFitIntoItsSocket) {
  apply_nflog();
  constexpr unsigned kPackets = 200000;
  const auto flood = [](bool comes_another, Json& summary, uint64_t& seen) {
    Watching watching({"--json", "--policy", "/run/policy.toml", "watch", "--summary"});
    watching.stand_still();
    // As long as what is copied of a packet.
    send_blocked(kPackets, 1, 10, 0, std::string(100, 'x'));
    usleep(200000);  // the kernel keeps the last few packets back for 50 ms: these too find no room
    watching.go_on();
    // Where a gap ends, its size is known.
    if (comes_another) send_blocked(1, 1, 1, 0);
    summary = Json::parse(watching.finish());
    seen = 0;
    for (const Json& row : summary["rows"]) seen += row["dport"] == 4000 ? row["times"].get<uint64_t>() : 0;
    EXPECT_GT(seen, 1000U);
  };
  Json summary;
  uint64_t seen = 0;
  flood(true, summary, seen);
  const auto lost = summary["lost"].get<uint64_t>();
  EXPECT_LT(seen, kPackets) << "nothing was lost: the flood is too small";
  EXPECT_EQ(summary["more_lost"], false);
  EXPECT_EQ(seen + lost, kPackets + 1) << summary["rows"];
  std::printf("%u sent, %lu seen, %lu told to be lost\n", kPackets + 1, seen, lost);

  flood(false, summary, seen);
  EXPECT_LT(seen, kPackets);
  EXPECT_EQ(summary["lost"], 0) << summary;
  EXPECT_EQ(summary["more_lost"], true) << "lost without a word";
}

// The same with the kernel's own messages, whose ring is overwritten.
TEST_F(See, WatchCountsWhatTheKernelsLogOverwrote) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  inside_.reset();
  const auto all_log = testbed::AllNamespacesLog::begin();
  TAILS_ASSERT_OK(all_log);
  inside_.emplace(bed_->host);
  Watching watching({"--json", "watch"});
  watching.stand_still();
  // 200 bytes each; CONFIG_LOG_BUF_SHIFT is mostly 17 or 18.
  constexpr unsigned kPackets = 20000;
  send_blocked(kPackets, 1, 10, 0);
  watching.go_on();
  std::istringstream lines(watching.finish());
  uint64_t seen = 0, lost = 0, lost_in_all = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line);
    if (json["event"] == "blocked" && json["dport"] == 4000) ++seen;
    if (json["event"] == "lost") {
      lost += json["lost"].get<uint64_t>();
      lost_in_all = json["lost_in_all"].get<uint64_t>();
    }
  }
  inside_.reset();
  EXPECT_GT(seen, 50U);
  EXPECT_LT(seen, kPackets) << "nothing was lost: the flood is too small";
  EXPECT_GE(seen + lost, kPackets);
  EXPECT_EQ(lost, lost_in_all);
  std::printf("%u sent, %lu seen, %lu told to be lost\n", kPackets, seen, lost);
}

TEST_F(See, WatchNeedsNoMoreMemoryForManyUsersAndDestinations) {
  apply_nflog();
  for (const bool is_summary : {true, false}) {
    long few = 0, many = 0;
    for (long* kib : {&few, &many}) {
      std::vector<std::string> words{"--json", "--policy", "/run/policy.toml", "watch"};
      if (is_summary) words.emplace_back("--summary");
      Watching watching(words);
      // Both have all the rows there can be, 4,096.
      send_blocked(kib == &few ? 5000 : 20000, kib == &few ? 100 : 1000, kib == &few ? 5000 : 10000, 10000);
      const std::string said = watching.finish(kib);
      if (!is_summary) continue;
      const Json summary = Json::parse(said);
      EXPECT_LE(summary["rows"].size(), 4096U);
      EXPECT_GT(summary["without_row"].get<uint64_t>() + summary["lost"].get<uint64_t>(), 0U);
    }
    constexpr long kSlackKib = 1024;
    EXPECT_LT(many, few + kSlackKib);
    std::printf("%s: 100 users, 5,000 destinations: %ld KiB; 1,000 users, 10,000 destinations: %ld KiB\n",
                is_summary ? "summary" : "lines", few, many);
  }
}

TEST_F(See, LeaktestSaysWhatGotOutUnderGivenRules) {
  const auto saved = with_accounts({"show", "--format", "save"});
  std::string rules = saved.out;
  const std::string last = "-A OUTPUT -j log_reject\n";
  rules.replace(rules.find(last), last.size(), "-A OUTPUT -p icmp -j ACCEPT\n" + last);
  std::ofstream("/run/v4.rules") << rules;
  std::ofstream("/run/v6.rules") << with_accounts({"show", "--format", "save", "--family", "6"}).out;
  const auto tried = with_accounts({"-q", "--json", "leaktest", "/run/v4.rules,/run/v6.rules"});
  EXPECT_EQ(tried.status, 1) << tried.err;
  const Json json = Json::parse(tried.out);
  EXPECT_GT(json["leaks"].get<int>(), 5);
  EXPECT_EQ(json["broken"], 0);
  bool has_ping = false;
  for (const Json& each : json["cases"]) {
    if (each["ok"] == false && each["how"] == "ping" && each["to"] == "the Internet" && each["user"] == "amnesia") {
      has_ping = true;
      EXPECT_EQ(each["expected"], "stopped");
      EXPECT_EQ(each["observed"], "reached");
    }
  }
  EXPECT_TRUE(has_ping);
}

}  // namespace
}  // namespace tails::test
