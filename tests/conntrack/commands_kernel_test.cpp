// Flows as users of the program meet them: apply, reconfigure and conntrack, on the real kernel.
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <nlohmann/json.hpp>

#include "policy/profiles.h"
#include "tests/conntrack/flow_fixture.h"
#include "tests/conntrack/without_ctnetlink.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/program.h"
#include "tests/policy/fixed_environment.h"

namespace tails::conntrack {
namespace {

using namespace tails::testbed;
using nlohmann::json;
using std::chrono::milliseconds;

std::string accounts() {
  std::string text = "amnesia=1000";
  for (const auto& [name, uid] : tails::testing::profile_users()) text += "," + name + "=" + std::to_string(uid.value);
  return text;
}

class FlowCommands : public FlowTest {
 protected:
  void SetUp() override {
    FlowTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // Locks and records of the program under test, for this process and all runs that it starts.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
  }

  static Finished tails(std::vector<std::string> words, std::vector<std::string> environment = {}) {
    words.insert(words.begin(), {TAILS_IPTC, "--user-map", accounts()});
    return bare(std::move(words), std::move(environment));
  }
  static Finished bare(std::vector<std::string> words, std::vector<std::string> environment = {}) {
    auto finished = run({.arguments = std::move(words), .environment = std::move(environment)});
    EXPECT_TRUE(finished.has_value()) << finished.error().message;
    return finished.value_or(Finished{127, "", ""});
  }
  /// A run that must succeed; its JSON.
  static json answer(std::vector<std::string> words, std::vector<std::string> environment = {}) {
    words.insert(words.begin(), "--json");
    const Finished finished = tails(std::move(words), std::move(environment));
    EXPECT_EQ(finished.status, 0) << finished.err;
    return json::parse(finished.out, nullptr, false);
  }
  /// The profile `tails` with a change.
  static std::string policy_file(const std::string& name, const std::string& replace, const std::string& by) {
    std::string text(policy::find_profile("tails")->text);
    const size_t at = text.find(replace);
    EXPECT_NE(at, std::string::npos);
    text.replace(at, replace.size(), by);
    const std::string path = "/run/" + name + ".toml";
    std::ofstream(path) << text;
    return path;
  }
  static void ip(const std::string& command) {
    std::vector<std::string> words = {"ip"};
    for (std::istringstream text(command); !text.eof();) text >> words.emplace_back();
    TAILS_ASSERT_OK(run_checked({.arguments = words}));
  }
  static std::string content(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
};

TEST_F(FlowCommands, ApplyCutsWhatItForbidsAndItsProgramLearnsAtOnce) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  const Connection tor = connect(kTor, web, listener);
  const Descriptor udp = connected_udp(kAmnesia, {kOtherInternet, 4000});
  const json applied = answer({"apply"});
  EXPECT_EQ(applied["result"], "applied");
  EXPECT_EQ(applied["flows_removed"], 2);
  EXPECT_EQ(amnesia.error(), told_);
  if (told_ != 0) {
    EXPECT_EQ(pending_error(udp), told_);
  }
  EXPECT_TRUE(tor.passes());
}

TEST_F(FlowCommands, ApplyJudgesFlowsAlsoWhereTheRulesWereThereAlready) {
  (void)answer({"apply"});
  TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, 1000}, .destination = {kInternet, 443}}));
  const json again = answer({"apply"});
  EXPECT_EQ(again["result"], "unchanged");
  EXPECT_EQ(again["flows_removed"], 1);
  TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, 1000}, .destination = {kInternet, 443}}));
  EXPECT_EQ(answer({"apply", "--flush", "none"})["flows_removed"], 0);
  TAILS_ASSERT_OK(insert_flow({.source = {kHostInternet, 1000}, .destination = {kFarLan, 443}}));
  EXPECT_EQ(answer({"apply", "--flush", "all"})["flows_removed"], 2);
}

/// Sends numbered bytes until told to stop; both ends sum them up.
class Transfer {
 public:
  Transfer(const Descriptor& from, const Descriptor& to)
      : sender_([this, fd = from.get()] { send(fd); }), receiver_([this, fd = to.get()] { receive(fd); }) {}
  ~Transfer() { end(); }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  [[nodiscard]] uint64_t received() const { return received_; }
  void end() {
    is_over_ = true;
    if (sender_.joinable()) sender_.join();
    if (receiver_.joinable()) receiver_.join();
  }
  [[nodiscard]] bool is_whole() const { return sent_ == received_ && sent_sum_ == received_sum_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  static void add(uint64_t& sum, std::span<const char> bytes) {
    for (const char byte : bytes) sum = (sum ^ static_cast<unsigned char>(byte)) * 0x100000001B3;  // FNV-1a
  }
  void send(int fd) {
    std::array<char, 8192> block{};
    uint64_t state = 88172645463325252;
    while (!is_over_) {
      for (char& byte : block) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        byte = static_cast<char>(state);
      }
      for (size_t at = 0; at < block.size();) {
        const ssize_t bytes = ::send(fd, block.data() + at, block.size() - at, MSG_NOSIGNAL);
        if (bytes < 0 && errno == EAGAIN) {
          ::usleep(200);
          continue;
        }
        if (bytes < 0) {
          error_ = errno;
          return;
        }
        add(sent_sum_, {block.data() + at, static_cast<size_t>(bytes)});
        at += static_cast<size_t>(bytes);
        sent_ += static_cast<uint64_t>(bytes);
      }
      ::usleep(500);  // So that the applies, and not the transfer, have the processor.
    }
    ::shutdown(fd, SHUT_WR);
  }
  void receive(int fd) {
    std::array<char, 65536> buffer{};
    while (wait_readable(fd, milliseconds(5000))) {
      const ssize_t bytes = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (bytes <= 0) return;
      add(received_sum_, {buffer.data(), static_cast<size_t>(bytes)});
      received_ += static_cast<uint64_t>(bytes);
    }
  }

  std::atomic<bool> is_over_ = false;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> received_ = 0;
  std::atomic<int> error_ = 0;
  uint64_t sent_sum_ = 0;
  uint64_t received_sum_ = 0;
  std::thread sender_;
  std::thread receiver_;
};

TEST_F(FlowCommands, TransfersLiveThroughAHundredAppliesWithoutALostByte) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  (void)answer({"apply"});
  const Connection tor = connect(kTor, web, listener);
  std::optional<Connection> clearnet;
  {
    const Inside guest(bed_->guests.at("clearnet"));
    clearnet.emplace(connect(kAmnesia, web, listener));
  }
  // Two policies that both allow these flows, so that each apply changes the rules.
  const std::string one = policy_file("one", "\"udp/137-138\"]", "\"udp/137-138\", \"tcp/4444\"]");
  const std::string other = policy_file("other", "\"udp/137-138\"]", "\"udp/137-138\", \"tcp/5555\"]");
  Transfer by_tor(tor.near, tor.far);
  Transfer forwarded(clearnet->near, clearnet->far);
  for (int i = 0; i < 100; ++i) {
    const uint64_t before = by_tor.received();
    const json applied = answer({"--policy", i % 2 == 0 ? one : other, "apply"});
    ASSERT_EQ(applied["result"], "applied");
    ASSERT_EQ(applied["flows_removed"], 0);
    if (i % 10 == 9) {
      ASSERT_EQ(answer({"reconfigure"})["flows_removed"], 0);
    }
    ASSERT_EQ(by_tor.error(), 0);
    for (int wait = 0; wait < 1000 && by_tor.received() == before; ++wait) ::usleep(1000);
    ASSERT_GT(by_tor.received(), before) << "stands still after apply " << i;
  }
  by_tor.end();
  forwarded.end();
  EXPECT_TRUE(by_tor.is_whole());
  EXPECT_TRUE(forwarded.is_whole());
  EXPECT_EQ(forwarded.error(), 0);
}

TEST_F(FlowCommands, ReconfigureRemovesExactlyTheFlowsOfAnAddressThatIsGone) {
  (void)answer({"apply"});
  const Endpoint web{kInternet, 443};
  const Endpoint neighbour{kLanNeighbour, 80};
  const Descriptor listener = listen_outside(web);
  const Descriptor lan_listener = listen_outside(neighbour);
  const Connection by_uplink = connect(kTor, web, listener);
  const Connection by_lan = connect(kAmnesia, neighbour, lan_listener);
  auto local = listen_tcp({kLoopbackV4, 9050});
  TAILS_ASSERT_OK(local);
  const Connection on_loopback = connect(kAmnesia, {kLoopbackV4, 9050}, *local);
  std::optional<Connection> forwarded;
  {
    const Inside guest(bed_->guests.at("clearnet"));
    forwarded.emplace(connect(kAmnesia, neighbour, lan_listener));
  }
  EXPECT_EQ(answer({"reconfigure"})["flows_removed"], 0);

  ip("addr del 192.0.2.10/24 dev eth0");
  ip("addr add 192.0.2.66/24 dev eth0");
  ip("route replace default via 192.0.2.1");
  const json followed = answer({"reconfigure", "--interface", "eth0", "--event", "dhcp4-change"});
  EXPECT_EQ(followed["result"], "unchanged");
  EXPECT_EQ(followed["flows_removed"], 1);
  EXPECT_EQ(by_uplink.error(), told_);
  EXPECT_FALSE(has_flow_to(web));
  EXPECT_TRUE(by_lan.passes());
  EXPECT_TRUE(on_loopback.passes());
  EXPECT_TRUE(forwarded->passes());
  EXPECT_TRUE(connect(kTor, web, listener).passes());
}

TEST_F(FlowCommands, ReconfigurePutsTheSamePolicyInForceAgainFromAnywhere) {
  const std::string policy = policy_file("mine", "name = \"tails\"", "name = \"mine\"");
  std::filesystem::current_path("/run");
  (void)answer({"--policy", "mine.toml", "apply"});
  std::filesystem::current_path("/");
  (void)run_checked({.arguments = {"iptables-legacy", "-I", "OUTPUT", "-j", "ACCEPT"}});
  // A hook knows neither policy nor accounts.
  const Finished hook = bare({TAILS_IPTC, "--json", "reconfigure"});
  EXPECT_EQ(hook.status, 0) << hook.err;
  EXPECT_EQ(json::parse(hook.out)["result"], "applied");
  EXPECT_EQ(answer({"--policy", policy, "apply"})["result"], "unchanged");
}

TEST_F(FlowCommands, ReconfigureWritesTheResolversIntoTheFileThatIsMounted) {
  const std::string file = "/run/resolv-over-clearnet.conf";
  std::ofstream(file) << "nameserver 203.0.113.99\n# longer than what comes after it\n";
  const std::string mounted = "/run/mounted";
  std::ofstream(mounted) << "";
  ASSERT_EQ(::mount(file.c_str(), mounted.c_str(), nullptr, MS_BIND, nullptr), 0);
  (void)answer({"--policy", policy_file("mine", "/etc/resolv-over-clearnet.conf", file), "apply"});

  const json up = answer({"reconfigure"}, {"DHCP4_DOMAIN_NAME_SERVERS=192.168.50.53 evil;id 203.0.113.1"});
  EXPECT_EQ(up["resolvers_written"], true);
  EXPECT_EQ(content(mounted), "nameserver 192.168.50.53\nnameserver 203.0.113.1\n");
  // An event without resolvers says nothing about them.
  EXPECT_EQ(answer({"reconfigure"})["resolvers_written"], false);
  EXPECT_EQ(content(mounted), "nameserver 192.168.50.53\nnameserver 203.0.113.1\n");
}

TEST_F(FlowCommands, LockdownOutlivesReconfigure) {
  (void)answer({"apply"});
  EXPECT_EQ(tails({"lockdown"}).status, 0);
  const Finished hook = bare({TAILS_IPTC, "reconfigure"});
  EXPECT_EQ(hook.status, 0) << hook.err;
  EXPECT_THAT(hook.out, ::testing::StartsWith("Locked down, and stays so: `tails-iptc apply` puts the policy back."));
  const auto output = run_checked({.arguments = {"iptables-legacy", "-S", "OUTPUT"}});
  TAILS_ASSERT_OK(output);
  EXPECT_THAT(*output, ::testing::StartsWith("-P OUTPUT DROP\n"));
  EXPECT_EQ(answer({"apply"})["result"], "applied");
}

TEST_F(FlowCommands, ReconfigureClosesAMachineThatStandsOpen) {
  EXPECT_EQ(answer({"reconfigure"})["result"], "applied");
  EXPECT_EQ(answer({"apply"})["result"], "unchanged");
}

TEST_F(FlowCommands, TenReconfiguresAndAnApplyAtOnceAllSucceed) {
  (void)answer({"apply"});
  const std::string other = policy_file("other", "\"udp/137-138\"]", "\"udp/137-138\", \"tcp/5555\"]");
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 11; ++i) {
    threads.emplace_back([&, i] {
      const Finished finished =
          i == 5 ? tails({"--wait", "60", "--policy", other, "apply"}) : bare({TAILS_IPTC, "reconfigure"});
      if (finished.status != 0) {
        ++failed;
        ADD_FAILURE() << finished.err;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  // Whoever came after the apply went on with its policy, and nobody with the one before.
  EXPECT_EQ(answer({"--policy", other, "apply"})["result"], "unchanged");
}

TEST_F(FlowCommands, AKilledApplyIsMendedByTheNext) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const auto start = std::chrono::steady_clock::now();
  (void)answer({"apply"});
  const std::chrono::duration<double, std::micro> whole = std::chrono::steady_clock::now() - start;
  // Kills later and later, until a run gets to its end before.
  for (useconds_t delay_us = 500;; delay_us += static_cast<useconds_t>(whole.count() / 15)) {
    EXPECT_EQ(tails({"reset", "--open"}).status, 0);
    load_open();
    const Connection amnesia = connect(kAmnesia, web, listener);
    const Connection tor = connect(kTor, web, listener);
    const pid_t child = ::fork();
    if (child == 0) {
      ::execl(TAILS_IPTC, TAILS_IPTC, "--user-map", accounts().c_str(), "-q", "apply", nullptr);
      ::_exit(127);
    }
    ::usleep(delay_us);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    (void)answer({"apply"});
    ASSERT_EQ(amnesia.error(), told_) << "killed after " << delay_us;
    ASSERT_FALSE(amnesia.passes());
    ASSERT_TRUE(tor.passes()) << "killed after " << delay_us;
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
      break;
    }
  }
}

TEST_F(FlowCommands, ListShowsOwnersAndJudgements) {
  const Endpoint web{kInternet, 443};
  const Descriptor listener = listen_outside(web);
  const Connection amnesia = connect(kAmnesia, web, listener);
  const Connection tor = connect(kTor, web, listener);
  (void)answer({"apply", "--flush", "none"});
  const json list = answer({"conntrack", "list", "--to", "198.51.100.7"});
  ASSERT_EQ(list["flows"].size(), 2U);
  for (const json& flow : list["flows"]) {
    EXPECT_EQ(flow["proto"], "tcp");
    EXPECT_EQ(flow["src"], "192.0.2.10");
    EXPECT_EQ(flow["dst"], "198.51.100.7");
    EXPECT_EQ(flow["dport"], 443);
    EXPECT_EQ(flow["state"], "ESTABLISHED");
    EXPECT_EQ(flow["judgement"], flow["uid"] == kTor.value ? "allowed" : "revoked");
  }
  const Finished revoked = tails({"conntrack", "list", "--user", "amnesia"});
  EXPECT_EQ(revoked.status, 0) << revoked.err;
  const std::string port = std::to_string(local_endpoint(amnesia.near.get()).port);
  EXPECT_EQ(revoked.out, "revoked amnesia      tcp    ESTABLISHED 192.0.2.10:" + port + " -> 198.51.100.7:443\n");

  EXPECT_EQ(answer({"conntrack", "flush", "--revoked"})["flows_removed"], 1);
  EXPECT_EQ(amnesia.error(), told_);
  EXPECT_TRUE(tor.passes());
  EXPECT_EQ(tails({"conntrack", "list", "--judgement", "revoked"}).out, "");
}

TEST_F(FlowCommands, WatchFailsAtTheFirstAlarm) {
  Finished watched;
  std::thread watcher([&] { watched = tails({"conntrack", "watch", "--alarms", "--fail", "--for", "60"}); });
  std::atomic<bool> is_over = false;
  std::thread forbidden([&] {
    // Until the watcher, which has yet to start, has seen one.
    for (Port port = 2000; port < 6000 && !is_over; ++port) {
      (void)insert_flow(
          {.protocol = protocol::kUdp, .source = {kHostInternet, port}, .destination = {kLanNeighbour, 137}});
      ::usleep(20000);
    }
  });
  watcher.join();
  is_over = true;
  forbidden.join();
  EXPECT_EQ(watched.status, 1) << watched.err;
  EXPECT_THAT(watched.out, ::testing::ContainsRegex(
                               "ALARM +udp +REPLIED +192.0.2.10:[0-9]+ -> 192.168.50.1:137: the policy does not "
                               "allow it .tails.toml:[0-9]+, .lan. closed"));
}

TEST_F(FlowCommands, WithoutConntrackNetlinkApplySucceedsAndSaysThatFlowsWereNotJudged) {
  (void)answer({"apply", "--flush", "none"});
  const auto said = as_user(Uid{0}, [&] {
    if (!tails::testing::lose_ctnetlink()) return std::string("seccomp refused");
    const Finished finished = tails({"apply"});
    return std::to_string(finished.status) + " " + finished.err;
  });
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(
      *said,
      "0 tails-iptc: warning: flows were not judged, so connections from before go on: cannot read the flow table: "
      "this kernel has no conntrack netlink (module nf_conntrack_netlink). Load it with `modprobe "
      "nf_conntrack_netlink`, or use a kernel with CONFIG_NF_CT_NETLINK. No flow was removed.\n");
}

TEST_F(FlowCommands, WithoutConntrackNetlinkTheConntrackCommandsNameTheModule) {
  for (const char* command : {"list", "flush", "watch"}) {
    const auto said = as_user(Uid{0}, [&] {
      if (!tails::testing::lose_ctnetlink()) return std::string("seccomp refused");
      const Finished finished = tails({"conntrack", command});
      return std::to_string(finished.status) + " " + finished.err.substr(0, finished.err.find('\n'));
    });
    TAILS_ASSERT_OK(said);
    EXPECT_EQ(*said,
              "3 tails-iptc: cannot read the flow table: this kernel has no conntrack netlink (module "
              "nf_conntrack_netlink)");
  }
}

TEST_F(FlowCommands, WithoutTheCapabilityTheySayWhatIsMissing) {
  for (const char* command : {"list", "flush"}) {
    const auto said = as_user(kAmnesia, [&] {
      const Finished finished = tails({"conntrack", command});
      return std::to_string(finished.status) + " " + finished.err;
    });
    TAILS_ASSERT_OK(said);
    EXPECT_THAT(*said, ::testing::StartsWith("3 tails-iptc: cannot read the flow table: permission denied (EPERM)\n"
                                             "  Run as root, or with CAP_NET_ADMIN."));
  }
}

}  // namespace
}  // namespace tails::conntrack
