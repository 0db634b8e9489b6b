/// The policy's namespaces as `netns` makes them, on the real kernel: what their programs reach, and what nobody does.

#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "host/network_namespace.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/private_machine.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;

/// The system's, which every user may run.
constexpr const char* kPython = "/usr/bin/python3";
constexpr IpAddress kClearnetHost = IpAddress::v4(10, 200, 1, 17);
constexpr IpAddress kClearnetGuest = IpAddress::v4(10, 200, 1, 18);
constexpr IpAddress kTbbHost = IpAddress::v4(10, 200, 1, 1);
constexpr IpAddress kTbbGuest = IpAddress::v4(10, 200, 1, 2);

/// A machine with an uplink, the policy in force, and its namespaces up.
class Guests : public PrivateMachine {
 protected:
  void SetUp() override {
    PrivateMachine::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    auto built = Testbed::build({});
    TAILS_ASSERT_OK(built);
    bed_.emplace(std::move(*built));
    inside_.emplace(bed_->host);
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.ip_forward", "0"));
    // As the policy's [host] has it: refusals are not rationed, or some of many seem to hang.
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.icmp_ratemask", "6160"));
    write(kResolverFile, "nameserver " + to_string(kLanResolver) + "\n");
    const Finished applied = tails_iptc({"apply"});
    ASSERT_EQ(applied.status, 0) << applied.err;
    const Finished up = tails_iptc({"netns", "up"});
    ASSERT_EQ(up.status, 0) << up.err;
  }

  /// Runs `work` in a guest.
  template <class Work>
  static void in_guest(const std::string& name, Work work) {
    const auto space = host::network_namespace::open(name);
    ASSERT_TRUE(space && *space) << name;
    ASSERT_TRUE(host::network_namespace::inside((*space)->get(), [&]() -> Result<void> {
      work();
      return {};
    }));
  }

  static Finished exec(const std::string& name, const std::string& user, std::vector<std::string> command) {
    command.insert(command.begin(), {"netns", "exec", name, "--user", user, "--"});
    return tails_iptc(std::move(command));
  }

  /// What connect(2) says to a user inside the guest.
  static int tcp_from(const std::string& name, Uid user, const IpAddress& to, Port port) {
    int answer = -1;
    in_guest(name, [&] {
      const SocketOwner owner(user);
      answer = try_tcp({to, port}, {}, milliseconds(200));
    });
    return answer;
  }

  std::optional<Testbed> bed_;
  std::optional<Inside> inside_;
};

/// A program that runs as long as this lives.
class Running {
 public:
  explicit Running(const std::vector<std::string>& command) {
    int to[2];
    int from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      dup2(to[0], 0);
      dup2(from[1], 1);
      std::vector<char*> words;
      for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
      words.push_back(nullptr);
      execvp(words[0], words.data());
      _exit(127);
    }
    close(to[0]);
    close(from[1]);
    input_ = Descriptor(to[1]);
    output_ = Descriptor(from[0]);
    char word = 0;
    is_ready = read(output_.get(), &word, 1) == 1;
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (child_ > 0) kill(child_, SIGKILL);
    if (child_ > 0) waitpid(child_, nullptr, 0);
  }
  bool is_ready = false;

 private:
  pid_t child_ = -1;
  Descriptor input_;
  Descriptor output_;
};

/// A program of amnesia's: fetches, uploads 10 MB, and says what came back.
constexpr const char* kBrowser = R"(
import os, socket, urllib.request
socket.setdefaulttimeout(30)
print(os.getuid(), os.getgid(), open("/etc/resolv.conf").read().strip())
print(urllib.request.urlopen("http://portal.example.org/").read().decode())
upload = urllib.request.Request("http://portal.example.org/form", data=bytes(10_000_000), method="PUT")
print(urllib.request.urlopen(upload).read().decode())
)";

TEST_F(Guests, UnsafeBrowserFetchesAndUploadsTenMegabytesBySmallMtuAndClearnetResolver) {
  TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "link", "set", "eth0", "mtu", "1400"}}));
  std::optional<Running> internet;
  {
    const Inside outside(bed_->outside);
    TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "link", "set", "wire0", "mtu", "1400"}}));
    internet.emplace(std::vector<std::string>{kPython, TAILS_INTERNET, to_string(kInternet), to_string(kLanResolver)});
  }
  ASSERT_TRUE(internet->is_ready);
  const Finished browser = exec("clearnet", "amnesia", {kPython, "-c", kBrowser});
  EXPECT_EQ(browser.err, "");
  EXPECT_EQ(browser.status, 0);
  EXPECT_EQ(browser.out, "1000 1000 nameserver 192.168.50.53\n192.0.2.10\n10000000\n");
}

TEST_F(Guests, ResolverFileThatIsFilledLaterIsSeenInside) {
  const Finished later =
      exec("clearnet", "root",
           {"sh", "-c", std::string("echo nameserver 192.0.2.53 > ") + kResolverFile + "; cat /etc/resolv.conf"});
  EXPECT_EQ(later.out, "nameserver 192.0.2.53\n") << later.err;
  // The machine's own file is another one, and was left alone.
  EXPECT_NE(contents("/etc/resolv.conf"), "nameserver 192.0.2.53\n");
}

TEST_F(Guests, ClearnetReachesNoNamespaceNoServiceOfTheHostAndNoLoopbackOfIt) {
  std::vector<Result<Descriptor>> listeners;
  for (const Port port : std::initializer_list<Port>{8080, 9050, 951})
    listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), port}));
  listeners.push_back(listen_tcp({IpAddress::v4(127, 0, 0, 1), 9052}));
  for (const char* name : {"tbb", "onioncircs", "tca", "onionshare"}) {
    in_guest(name, [&] { listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), 8080})); });
  }
  {
    const Inside outside(bed_->outside);
    listeners.push_back(listen_tcp({kInternet, 8080}));
  }
  for (const auto& listener : listeners) TAILS_ASSERT_OK(listener);

  for (const Uid user : {uid::kAmnesia, uid::kRoot}) {
    EXPECT_EQ(tcp_from("clearnet", user, kInternet, 8080), 0) << "or nothing below means anything";
    for (const Port port : std::initializer_list<Port>{8080, 9050, 951}) {
      for (const IpAddress& host : {kClearnetHost, kTbbHost, kHostInternet, kHostLan}) {
        EXPECT_NE(tcp_from("clearnet", user, host, port), 0) << to_string(host) << " " << port;
      }
      EXPECT_EQ(tcp_from("clearnet", user, IpAddress::v4(127, 0, 0, 1), port), ECONNREFUSED) << port;
    }
    EXPECT_EQ(tcp_from("clearnet", user, IpAddress::v4(127, 0, 0, 1), 9052), ECONNREFUSED);
    for (const uint8_t last : std::initializer_list<uint8_t>{2, 6, 10, 14}) {
      EXPECT_NE(tcp_from("clearnet", user, IpAddress::v4(10, 200, 1, last), 8080), 0) << int{last};
    }
  }
  // Nothing came to a listener but the one connection each from outside's.
  for (size_t i = 0; i + 1 < listeners.size(); ++i)
    EXPECT_FALSE(wait_readable(listeners[i]->get(), milliseconds(0))) << i;
}

TEST_F(Guests, NobodyOnTheHostReachesAGuestsPorts) {
  std::vector<Result<Descriptor>> listeners;
  const std::vector<std::pair<const char*, uint8_t>> guests = {
      {"tbb", 2}, {"onioncircs", 6}, {"tca", 10}, {"onionshare", 14}, {"clearnet", 18}};
  for (const auto& [name, last] : guests) {
    in_guest(name, [&] { listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), 8080})); });
    in_guest(name, [&] { listeners.push_back(bind_udp({IpAddress::v4(0, 0, 0, 0), 8080})); });
  }
  for (const auto& listener : listeners) TAILS_ASSERT_OK(listener);
  for (const Uid user : all_users()) {
    const SocketOwner owner(user);
    for (const auto& [name, last] : guests) {
      const Endpoint guest{IpAddress::v4(10, 200, 1, last), 8080};
      EXPECT_EQ(try_tcp(guest, {}, milliseconds(200)), ECONNREFUSED) << name << " by " << user.value;
      EXPECT_NE(try_udp(guest), 0) << name << " by " << user.value;
    }
  }
  for (const auto& listener : listeners) EXPECT_FALSE(wait_readable(listener->get(), milliseconds(0)));
}

TEST_F(Guests, TorBrowserReaches9050And951On127_0_0_1AndNothingElse) {
  std::vector<Result<Descriptor>> listeners;
  for (const Port port : std::initializer_list<Port>{9050, 951, 9051, 9052, 9062, 9040, 53, 631}) {
    listeners.push_back(listen_tcp({kTbbHost, port}));
    listeners.push_back(listen_tcp({IpAddress::v4(127, 0, 0, 1), port}));
  }
  {
    const Inside outside(bed_->outside);
    for (const IpAddress& address : {kInternet, kLanNeighbour, kFarLan})
      listeners.push_back(listen_tcp({address, 9050}));
  }
  in_guest("clearnet", [&] { listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), 9050})); });
  for (const auto& listener : listeners) TAILS_ASSERT_OK(listener);

  for (const Uid user : {uid::kAmnesia, uid::kRoot}) {
    for (const Port port : std::initializer_list<Port>{9050, 951}) {
      EXPECT_EQ(tcp_from("tbb", user, IpAddress::v4(127, 0, 0, 1), port), 0) << port;
    }
    for (const Port port : std::initializer_list<Port>{9051, 9052, 9062, 9040, 53, 631}) {
      EXPECT_EQ(tcp_from("tbb", user, IpAddress::v4(127, 0, 0, 1), port), ECONNREFUSED) << port;
      EXPECT_EQ(tcp_from("tbb", user, kTbbHost, port), ECONNREFUSED) << port;
    }
    for (const IpAddress& address :
         {kInternet, kLanNeighbour, kFarLan, kHostInternet, kHostLan, kClearnetHost, kClearnetGuest}) {
      EXPECT_NE(tcp_from("tbb", user, address, 9050), 0) << to_string(address);
    }
    EXPECT_NE(tcp_from("onioncircs", user, IpAddress::v4(127, 0, 0, 1), 9050), 0);
    EXPECT_EQ(tcp_from("onioncircs", user, IpAddress::v4(127, 0, 0, 1), 9051), ECONNREFUSED);
  }
  // UDP not at all, not even to the ports that TCP may use.
  in_guest("tbb", [&] {
    EXPECT_EQ(try_connected_udp({IpAddress::v4(127, 0, 0, 1), 9050}), ECONNREFUSED);
    EXPECT_NE(try_udp({kTbbHost, 9050}), 0);
    EXPECT_NE(try_udp({kLanResolver, 53}), 0);
  });
}

TEST_F(Guests, GuestThatLiesAboutItsRulesAndItsAddressReachesNoMore) {
  // Root inside can drop the guest's own rules: the host's decide.
  for (const char* name : {"tbb", "clearnet"}) {
    in_guest(name, [] {
      for (const char* tool : {"iptables-legacy", "ip6tables-legacy"}) {
        TAILS_ASSERT_OK(run_checked({.arguments = {tool, "-F"}}));
        for (const char* chain : {"INPUT", "OUTPUT", "FORWARD"}) {
          TAILS_ASSERT_OK(run_checked({.arguments = {tool, "-P", chain, "ACCEPT"}}));
        }
      }
    });
  }
  std::vector<Result<Descriptor>> listeners;
  listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), 8080}));
  listeners.push_back(listen_tcp({IpAddress::v4(0, 0, 0, 0), 9050}));
  {
    const Inside outside(bed_->outside);
    listeners.push_back(listen_tcp({kInternet, 8080}));
  }
  for (const auto& listener : listeners) TAILS_ASSERT_OK(listener);
  for (const IpAddress& address : {kInternet, kHostInternet, kTbbHost, kClearnetHost, kClearnetGuest}) {
    EXPECT_NE(tcp_from("tbb", uid::kRoot, address, 8080), 0) << to_string(address);
  }
  EXPECT_NE(tcp_from("clearnet", uid::kRoot, kTbbHost, 9050), 0);
  EXPECT_NE(tcp_from("clearnet", uid::kRoot, kTbbGuest, 9050), 0);
  // Another guest's address is not believed (rp_filter): neither answered nor passed on.
  in_guest("clearnet", [&] {
    TAILS_ASSERT_OK(run_checked({.arguments = {"iptables-legacy", "-t", "nat", "-F"}}));
    TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "address", "add", "10.200.1.2/32", "dev", "veth0"}}));
    SocketOptions spoofed;
    spoofed.from = Endpoint{kTbbGuest, 4000};
    EXPECT_NE(try_tcp({kInternet, 8080}, spoofed, milliseconds(300)), 0);
  });
  for (const auto& listener : listeners) EXPECT_FALSE(wait_readable(listener->get(), milliseconds(0)));
  EXPECT_NE(tails_iptc({"netns", "list"}).out.find("up, other rules"), std::string::npos);
  EXPECT_EQ(tails_iptc({"netns", "up"}).status, 0);
  EXPECT_EQ(tails_iptc({"netns", "list"}).out.find("up, other rules"), std::string::npos);
}

TEST_F(Guests, ExecPassesStatusUserAndGroupsAndRefusesWhatIsNotThere) {
  const Finished user = exec(
      "tbb", "amnesia", {"sh", "-c", "id -u; id -G; grep -c 'CapEff:.0000000000000000' /proc/self/status; exit 41"});
  EXPECT_EQ(user.status, 41);
  EXPECT_TRUE(user.out.starts_with("1000\n1000")) << user.out;
  EXPECT_TRUE(user.out.ends_with("\n1\n")) << user.out;

  const Finished missing = exec("tbb", "amnesia", {"/no/such/program"});
  EXPECT_EQ(missing.status, 3);
  EXPECT_EQ(
      missing.err,
      "tails-iptc: cannot run \"/no/such/program\": no such file or directory (ENOENT)\n  Nothing was started.\n");
  const Finished unknown = exec("tbc", "amnesia", {"true"});
  EXPECT_EQ(unknown.status, 2);
  EXPECT_EQ(unknown.err, "tails-iptc: policy \"tails\" declares no namespace \"tbc\"\n  Did you mean \"tbb\"?\n");
  ASSERT_EQ(tails_iptc({"netns", "down", "tbb"}).status, 0);
  const Finished down = exec("tbb", "amnesia", {"true"});
  EXPECT_EQ(down.status, 3);
  EXPECT_EQ(down.err, "tails-iptc: namespace \"tbb\" is not there\n  `tails-iptc netns up tbb` makes it.\n");
}

TEST_F(Guests, IpNetnsSeesThem) {
  const auto listed = run_checked({.arguments = {"ip", "netns", "list"}});
  TAILS_ASSERT_OK(listed);
  for (const char* name : {"tbb", "onioncircs", "tca", "onionshare", "clearnet"}) {
    EXPECT_NE(listed->find(name), std::string::npos) << *listed;
  }
  TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "netns", "exec", "tbb", "true"}}));
}

TEST_F(Guests, PolicyThatDeclaresANamespaceNoMoreStillLetsItBeTakenDownByName) {
  std::string text = contents(kPolicy);
  const size_t start = text.find("[[namespace]]\nname = \"tca\"");
  ASSERT_NE(start, std::string::npos);
  text.erase(start, text.find("[[namespace]]", start + 1) - start);
  write(kPolicy, text);
  ASSERT_EQ(tails_iptc({"apply"}).status, 0);
  EXPECT_EQ(tails_iptc({"netns", "down", "tca"}).status, 0);
  EXPECT_EQ(access("/run/netns/tca", F_OK), -1);
  EXPECT_EQ(tails_iptc({"netns", "down", "tca"}).status, 2);
}

}  // namespace
}  // namespace tails::testbed
