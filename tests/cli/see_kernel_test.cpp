/// `watch`, `leaktest` and `report` as users run them, on the real kernel.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/cli/program.h"
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

  /// Sends `count` blocked datagrams: of `users` users, to `places` destinations, in turn.
  static void send_blocked(unsigned count, unsigned users, unsigned places, unsigned per_second) {
    const auto start = std::chrono::steady_clock::now();
    unsigned sent = 0;
    while (sent < count) {
      const SocketOwner owner(Uid{5000 + sent / 20 % users});
      const auto socket = testbed::open_socket(Family::kIpv4, SOCK_DGRAM);
      ASSERT_TRUE(socket.has_value());
      for (int i = 0; i < 20 && sent < count; ++i, ++sent) {
        const IpAddress to = IpAddress::v4(IpAddress::v4(198, 18, 0, 0).v4_bits() + sent % places);
        testbed::send_to(socket->get(), {to, 4000}, "x");
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
      std::vector<std::string> all{TAILS_IPTC, "--user-map", kAccounts};
      all.insert(all.end(), words.begin(), words.end());
      std::vector<char*> raw;
      for (std::string& word : all) raw.push_back(word.data());
      raw.push_back(nullptr);
      execv(TAILS_IPTC, raw.data());
      _exit(127);
    }
    // Until it listens: its netlink socket is bound to the group.
    for (int i = 0; i < 500; ++i) {
      std::ifstream table("/proc/net/netfilter/nfnetlink_log");
      std::string line;
      while (std::getline(table, line)) {
        if (line.find(" 5 ") == 0 || line.find("    5 ") == 0) return;
      }
      usleep(10000);
    }
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching() {
    if (child_ > 0) kill(child_, SIGKILL), waitpid(child_, nullptr, 0);
  }

  /// Ends it; what it printed, and the most memory that it had, in KiB.
  std::string finish(long* kib = nullptr) {
    usleep(600000);
    kill(child_, SIGTERM);
    int status = 0;
    struct rusage usage {};
    wait4(child_, &status, 0, &usage);
    child_ = -1;
    if (kib != nullptr) *kib = usage.ru_maxrss;
    EXPECT_EQ(status, 0);
    std::ifstream file("/run/watch.out");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
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

TEST_F(See, WatchNeedsNoMoreMemoryForManyUsersAndDestinations) {
  apply_nflog();
  long few = 0, many = 0;
  for (long* kib : {&few, &many}) {
    Watching watching({"--json", "--policy", "/run/policy.toml", "watch", "--summary"});
    send_blocked(kib == &few ? 5000 : 20000, kib == &few ? 100 : 1000, kib == &few ? 5000 : 10000, 10000);
    const Json summary = Json::parse(watching.finish(kib));
    EXPECT_LE(summary["rows"].size(), 4096U);
    EXPECT_GT(summary["without_row"].get<uint64_t>() + summary["lost"].get<uint64_t>(), 0U);
  }
  // Both have all the rows there can be. (Sanitizers keep freed memory for a while.)
  EXPECT_LT(many, few + 48 * 1024);
  std::printf("100 users, 5,000 destinations: %ld KiB; 1,000 users, 10,000 destinations: %ld KiB\n", few, many);
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

TEST_F(See, ReportHasTheNumbersOfItsDocumentsAndAsksForNothing) {
  ASSERT_EQ(with_accounts({"apply"}).status, 0);
  const auto written = with_accounts({"report", "--quick", "--html", "/run/report.html"});
  EXPECT_EQ(written.status, 0) << written.err;
  const std::string page = read("/run/report.html");
  const auto document = [&](const std::string& name) {
    const std::string open = "<script type=\"application/json\" id=\"" + name + "\">";
    const size_t begin = page.find(open) + open.size();
    return Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  };
  const auto count = [&](const std::string& text) {
    size_t times = 0;
    for (size_t at = 0; (at = page.find(text, at)) != std::string::npos; ++at) ++times;
    return times;
  };
  const Json leaks = document("leaktest");
  for (const char* key : {"tried", "leaks", "broken", "packets_on_cables"}) {
    const std::string number = std::to_string(leaks[key].get<uint64_t>());
    EXPECT_EQ(count(std::string("data-key=\"") + key + "\">" + number + "</b>"), 1U) << key;
  }
  EXPECT_EQ(leaks["tried"], leaks["cases"].size());
  EXPECT_EQ(count("✓ holds"), document("proof")["properties"].size());
  const Json status = document("status");
  for (const Json& entry : status["entries"]) {
    EXPECT_GE(count("<td class=\"n\">" + std::to_string(entry["packets"].get<uint64_t>()) + "</td><td class=\"n\">" +
                    std::to_string(entry["bytes"].get<uint64_t>()) + "</td>"),
              1U)
        << entry;
  }
  // Nothing that a browser would fetch, and nothing that runs.
  EXPECT_EQ(count("http://") + count("https://") + count("src=") + count("url(") + count("@import"), 0U);
  EXPECT_EQ(count("<script>"), 0U);
  EXPECT_EQ(count("default-src 'none'"), 1U);
}

}  // namespace
}  // namespace tails::test
