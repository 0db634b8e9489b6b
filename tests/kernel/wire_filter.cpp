#include "tests/kernel/wire_filter.h"

#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "net/frame_builder.h"
#include "policy/decide.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/tails_iptc.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::string path_of(const NetworkNamespace& target) {
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(target.fd());
}

/// The kernel leaves the checksums of frames for a veth's other end undone unless told otherwise.
void fill_in_checksums(const char* interface) {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_value off{ETHTOOL_STXCSUM, 0};
  ifreq request{};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&off);
  ASSERT_EQ(::ioctl(socket.get(), SIOCETHTOOL, &request), 0) << interface << ": " << std::strerror(errno);
}

}  // namespace

Beside::Beside(const std::vector<std::string>& arguments, const std::string& out, const std::string& err) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  child_ = ::fork();
  if (child_ != 0) return;
  if (std::freopen(out.c_str(), "w", stdout) == nullptr || std::freopen(err.c_str(), "w", stderr) == nullptr) {
    ::_exit(127);
  }
  // DPDK's af_xdp driver does not give back what libxdp made for it (22.11).
  ::setenv("LSAN_OPTIONS", "suppressions=" TAILS_LEAKS_OF_OTHERS, 1);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

Beside::~Beside() { end(SIGKILL); }

void Beside::signal(int number) const { ::kill(child_, number); }

int Beside::end(int number) {
  if (child_ <= 0) return -1;
  signal(number);
  return wait();
}

int Beside::wait() {
  int status = 0;
  ::waitpid(child_, &status, 0);
  child_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool Beside::lives() const { return child_ > 0 && ::waitpid(child_, nullptr, WNOHANG) == 0; }

std::string content(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

bool wait_for_text(const std::string& path, const std::string& text, const Beside& program) {
  const auto deadline = Clock::now() + 6 * kPatience;
  while (content(path).find(text) == std::string::npos) {
    if (Clock::now() > deadline || !program.lives()) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

void ip_batch(const NetworkNamespace& where, const std::string& lines) {
  const Inside inside(where);
  const auto done = run_checked({.arguments = {"ip", "-batch", "-"}, .input = lines});
  TAILS_ASSERT_OK(done);
}

void send_frame(const NetworkNamespace& where, const char* interface, const Bytes& frame) {
  const Inside inside(where);
  const Descriptor socket(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(::if_nametoindex(interface));
  ASSERT_EQ(::sendto(socket.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(frame.size()));
}

void WireFilter::SetUp() {
  KernelTest::SetUp();
  if (IsSkipped() || HasFatalFailure()) return;
  if (GetParam() == std::string_view("af_xdp") && !Descriptor(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)).is_open()) {
    GTEST_SKIP() << "this kernel has no AF_XDP";
  }
  for (NetworkNamespace** space : {&machine_, &filter_space_, &network_}) {
    auto made = NetworkNamespace::create();
    TAILS_ASSERT_OK(made);
    *space = &spaces_.emplace_back(std::move(*made));
  }
  for (NetworkNamespace& space : spaces_) {
    const Inside inside(space);
    // The machine itself may speak IPv6: that is what must not get out.
    if (&space == machine_) continue;
    TAILS_ASSERT_OK(set_sysctl("net.ipv6.conf.all.disable_ipv6", "1"));
    TAILS_ASSERT_OK(set_sysctl("net.ipv6.conf.default.disable_ipv6", "1"));
  }
  ip_batch(*machine_, "link add name eth0 type veth peer name inside netns " + path_of(*filter_space_) +
                          "\nlink set dev eth0 up\naddr add 192.0.2.10/24 dev eth0\nroute add default via 192.0.2.1\n");
  ip_batch(*network_, "link add name wire0 type veth peer name outside netns " + path_of(*filter_space_) +
                          "\nlink set dev wire0 up\naddr add 192.0.2.1/24 dev wire0\naddr add 198.51.100.7/32 dev lo\n"
                          "addr add 192.168.50.53/32 dev lo\naddr add 10.20.30.40/32 dev lo\n");
  ip_batch(*filter_space_, "link set dev inside up\nlink set dev outside up\n");
  {
    const Inside inside(*machine_);
    fill_in_checksums("eth0");
  }
  {
    const Inside inside(*network_);
    fill_in_checksums("wire0");
    auto watch = Wire::watch(*network_);
    TAILS_ASSERT_OK(watch);
    wire_.emplace(std::move(*watch));
  }
  const auto read = profile("tails");
  TAILS_ASSERT_OK(read);
  policy_ = *read;
  write_policy("");
}

void WireFilter::write_policy(const std::string& more, const std::string& without) {
  std::string text = content(TAILS_POLICIES "/tails.toml");
  const size_t at = without.empty() ? std::string::npos : text.find(without);
  if (!without.empty()) {
    ASSERT_NE(at, std::string::npos);
    text.erase(at, without.size());
  }
  std::ofstream(scratch_.path() + "/policy.toml") << text << more;
}

void WireFilter::apply(std::vector<std::string> more) {
  const Inside inside(*machine_);
  std::vector<std::string> words = {"--policy", "tails", "-q", "apply"};
  words.insert(words.end(), more.begin(), more.end());
  const auto applied = tails_iptc(words);
  TAILS_ASSERT_OK(applied);
  ASSERT_EQ(applied->status, 0) << applied->err;
}

void WireFilter::open_the_kernel() {
  const Inside inside(*machine_);
  for (const std::string chain : {"INPUT", "OUTPUT", "FORWARD"}) {
    for (const std::string program : {"iptables-legacy", "ip6tables-legacy"}) {
      TAILS_ASSERT_OK(run_checked({.arguments = {program, "-P", chain, "ACCEPT"}}));
      TAILS_ASSERT_OK(run_checked({.arguments = {program, "-F", chain}}));
    }
  }
}

void WireFilter::start_filter(std::vector<std::string> more) {
  const Inside inside(*filter_space_);
  const std::string driver = GetParam();
  std::vector<std::string> words = {TAILS_FASTPATH_PROGRAM,
                                    "--policy",
                                    scratch_.path() + "/policy.toml",
                                    "--user-map",
                                    std::string(kAccounts),
                                    "fastpath",
                                    "run",
                                    "--inside",
                                    driver + ":inside",
                                    "--outside",
                                    driver + ":outside",
                                    "--flows",
                                    "10000",
                                    "--prometheus",
                                    scratch_.path() + "/prometheus"};
  words.insert(words.end(), more.begin(), more.end());
  words.insert(words.end(), {"--", "--no-telemetry", "--file-prefix", "tails-iptc-test-" + std::to_string(::getpid())});
  filter_.emplace(words, out(), err());
  ASSERT_TRUE(wait_for_text(out(), "Filtering", *filter_)) << content(out()) << content(err());
  drain();
}

std::vector<Frame> WireFilter::drain() {
  auto frames = wire_->drain();
  EXPECT_TRUE(frames) << frames.error().message;
  return frames ? std::move(*frames) : std::vector<Frame>();
}

std::vector<Packet> WireFilter::watch_until_silence() {
  std::vector<Packet> seen;
  auto last = Clock::now();
  while (Clock::now() - last < kSilence) {
    for (const Frame& frame : drain()) {
      last = Clock::now();
      // IPv4 or not: nothing that comes through bears a tag.
      const wire::Ipv4 ip = wire::read_ipv4(frame.bytes);
      EXPECT_EQ(ip.fault, wire::Fault::kNone) << wire::describe(ip.fault);
      EXPECT_EQ(ip.dscp(), 0) << "a tag got through";
      if (const auto packet = dissect(frame.bytes)) seen.push_back(*packet);
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  return seen;
}

void WireFilter::expect_what_the_policy_grants(uint8_t tos) {
  struct Try {
    Packet packet;
    bool arrives = false;
  };
  std::map<Port, Try> tries;
  std::vector<Descriptor> sockets;
  constexpr std::pair<IpAddress, Port> kTcp[] = {{kInternet, 443},   {kInternet, 53}, {kLanResolver, 53},
                                                 {kLanResolver, 80}, {kFarLan, 22},   {kInternet, 9001}};
  constexpr std::pair<IpAddress, Port> kUdp[] = {
      {kInternet, 53}, {kInternet, 443}, {kLanResolver, 53}, {kLanResolver, 137}, {kFarLan, 5353}};
  {
    const Inside inside(*machine_);
    Port from = next_port_;
    const auto attempt = [&](Uid user, uint8_t protocol, const std::pair<IpAddress, Port>& to) {
      Packet packet;
      packet.protocol = protocol;
      packet.source = kHostInternet;
      packet.source_port = ++from;
      packet.destination = to.first;
      packet.destination_port = to.second;
      packet.tcp_flags = protocol == protocol::kTcp ? tcp_flag::kSyn : uint8_t{0};
      packet.out = *InterfaceName::make("eth0");
      packet.uid = user;
      packet.gid = Gid{user.value};
      tries[from] = {packet, policy::decide(policy_, packet).verdict == Verdict::kAccept};
      const SocketOwner owner(user);
      auto socket = open_socket(Family::kIpv4, protocol == protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM,
                                {.from = Endpoint{kHostInternet, from}});
      TAILS_ASSERT_OK(socket);
      const int value = tos;
      ASSERT_EQ(::setsockopt(socket->get(), IPPROTO_IP, IP_TOS, &value, sizeof value), 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(to.second);
      address.sin_addr.s_addr = htonl(to.first.v4_bits());
      if (protocol == protocol::kTcp) {
        ::connect(socket->get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
      } else {
        ::sendto(socket->get(), "question", 8, 0, reinterpret_cast<const sockaddr*>(&address), sizeof address);
      }
      sockets.push_back(std::move(*socket));
    };
    for (const Uid user : all_users()) {
      for (const auto& to : kTcp) attempt(user, protocol::kTcp, to);
      for (const auto& to : kUdp) attempt(user, protocol::kUdp, to);
    }
    next_port_ = from;
  }
  std::set<Port> arrived;
  for (const Packet& packet : watch_until_silence()) {
    const auto found = tries.find(packet.source_port);
    if (packet.protocol == protocol::kIcmp) continue;  // What the network's answers make the machine say.
    ASSERT_NE(found, tries.end()) << describe(packet);
    EXPECT_EQ(packet.destination, found->second.packet.destination);
    arrived.insert(packet.source_port);
  }
  size_t granted = 0;
  for (const auto& [port, one] : tries) {
    granted += one.arrives ? 1U : 0U;
    EXPECT_EQ(arrived.contains(port), one.arrives) << (one.arrives ? "blocked: " : "LEAKED: ") << describe(one.packet);
  }
  // Neither everything nor nothing: Tor and clearnet may more than others, and all may talk to the LAN.
  EXPECT_GT(granted, 2 * all_users().size());
  EXPECT_LT(granted, tries.size() / 2);
}

void WireFilter::expect_no_leak_of_raw_frames() {
  std::vector<Bytes> frames;
  wire::FrameSpec spec;
  const auto add = [&](auto&& change) {
    spec = wire::FrameSpec();
    spec.source = kHostInternet;
    spec.destination = kInternet;
    change();
    frames.push_back(wire::build_frame(spec));
  };
  add([&] { spec.protocol = protocol::kIcmp; });
  add([&] { spec.protocol = protocol::kUdp; });
  add([&] { spec.protocol = protocol::kSctp; });
  add([&] { spec.protocol = 47; });
  add([&] { spec.tcp_flags = tcp_flag::kAck; });
  add([&] { spec.tcp_flags = tcp_flag::kSyn | tcp_flag::kAck; });
  add([&] { spec.tcp_flags = tcp_flag::kFin; });
  add([&] { spec.destination = IpAddress::v4(127, 0, 0, 1), spec.tos = 45 << 2; });
  add([&] { spec.destination = IpAddress::v4(127, 192, 0, 1), spec.tos = 45 << 2; });
  add([&] { spec.destination = IpAddress::v4(224, 0, 0, 251), spec.protocol = protocol::kUdp; });
  add([&] { spec.destination = IpAddress::v4(255, 255, 255, 255), spec.protocol = protocol::kUdp; });
  add([&] { spec.destination = IpAddress::v4(10, 200, 1, 2); });
  add([&] { spec.tos = 63 << 2; });
  add([&] { spec.vlan = 45; });
  frames.push_back(frames.front());
  frames.back()[22] ^= std::byte{1};  // The time to live, and with it the checksum.
  // A fragment; by AF_PACKET the kernel keeps it to itself until it has the rest (PACKET_FANOUT_FLAG_DEFRAG).
  frames.push_back(frames.front());
  frames.back()[20] = std::byte{0x20};
  Bytes ipv6(14 + 40 + 8);
  ipv6[12] = std::byte{0x86}, ipv6[13] = std::byte{0xDD}, ipv6[14] = std::byte{0x60}, ipv6[19] = std::byte{8};
  ipv6[20] = std::byte{17};
  frames.push_back(ipv6);
  Bytes unknown(60, std::byte{0x88});
  frames.push_back(unknown);
  for (const Bytes& frame : frames) send_frame(*machine_, "eth0", frame);
  for (const Packet& packet : watch_until_silence()) ADD_FAILURE() << "LEAKED: " << describe(packet);
}

}  // namespace tails::testbed
