// What must go on working under each built-in profile, with real sockets of real users and real answers.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <linux/netfilter_ipv4.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "policy/lower.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/tails_machine.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;

// Long enough for a loaded machine; a test that passes never waits for it.
constexpr milliseconds kPatience{5000};

/// Reads until the other side closes; what came, then " EOF", or the error's name.
std::string read_to_end(int socket) {
  std::string all;
  std::array<char, 4096> part{};
  while (wait_readable(socket, kPatience)) {
    const ssize_t n = ::recv(socket, part.data(), part.size(), 0);
    if (n == 0) return all + " EOF";
    if (n < 0) return all + " " + errno_name(errno);
    all.append(part.data(), static_cast<size_t>(n));
  }
  return all + " nothing more";
}

/// One request over TCP, and an orderly end: FIN from here, the answer and FIN from there.
std::string request(const Endpoint& to, const SocketOptions& options = {}) {
  const auto socket = open_socket(to.address.family, SOCK_STREAM, options);
  if (!socket) return socket.error().message;
  const int connected = connect_tcp(socket->get(), to, kPatience);
  if (connected != 0) return errno_name(connected);
  if (::send(socket->get(), "request", 7, MSG_NOSIGNAL) != 7 || ::shutdown(socket->get(), SHUT_WR) != 0) {
    return errno_name(errno);
  }
  return read_to_end(socket->get());
}

/// Serves one such request; what it heard.
std::string serve(int listener) {
  if (!wait_readable(listener, kPatience)) return "nobody came";
  const Descriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  std::string heard = read_to_end(client.get());
  if (::send(client.get(), "answer", 6, MSG_NOSIGNAL) != 6) heard += " " + errno_name(errno);
  return heard;
}

/// One question over UDP; the answer and where it seems to come from.
std::string ask(const Endpoint& to, const SocketOptions& options = {}) {
  const auto socket = open_socket(to.address.family, SOCK_DGRAM, options);
  if (!socket) return socket.error().message;
  const int sent = send_to(socket->get(), to, "question");
  if (sent != 0) return errno_name(sent);
  const auto answer = receive(socket->get(), kPatience);
  return answer ? answer->text + " from " + to_string(answer->from.address) + ":" + std::to_string(answer->from.port)
                : "no answer";
}

std::string answer_one(int server) {
  const auto question = receive(server, kPatience);
  if (!question) return "nobody asked";
  const int sent = send_to(server, question->from, "answer");
  return sent == 0 ? question->text : errno_name(sent);
}

/// TCP connections of this namespace that are neither listening, nor closed and only remembered (TIME_WAIT).
std::string unfinished_connections() {
  std::string found;
  for (const char* file : {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"}) {
    std::ifstream table(file);
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
      std::istringstream words(line);
      std::string number, local, remote, state;
      words >> number >> local >> remote >> state;
      constexpr const char *kListen = "0A", *kTimeWait = "06";
      if (state != kListen && state != kTimeWait) found += local + " > " + remote + " state " + state + "\n";
    }
  }
  return found;
}

class NormalUse : public TailsMachine {
 protected:
  Descriptor listen_at(const NetworkNamespace& where, const Endpoint& at) {
    const Inside inside(where);
    auto listener = listen_tcp(at);
    EXPECT_TRUE(listener.has_value());
    return listener ? std::move(*listener) : Descriptor();
  }
  Descriptor bind_at(const NetworkNamespace& where, const Endpoint& at) {
    const Inside inside(where);
    auto server = bind_udp(at);
    EXPECT_TRUE(server.has_value());
    return server ? std::move(*server) : Descriptor();
  }

  /// The client's and the server's words over one TCP connection.
  static std::string talk(Uid user, const Endpoint& to, const Descriptor& listener, const SocketOptions& options = {}) {
    auto client = InBackground::start(user, [&] { return request(to, options); });
    if (!client) return client.error().message;
    const std::string heard = serve(listener.get());
    return client->finish().value_or("failed") + ", heard " + heard;
  }
  static std::string talk_udp(Uid user, const Endpoint& to, const Descriptor& server,
                              const SocketOptions& options = {}) {
    auto client = InBackground::start(user, [&] { return ask(to, options); });
    if (!client) return client.error().message;
    const std::string heard = answer_one(server.get());
    return client->finish().value_or("failed") + ", heard " + heard;
  }

  static constexpr const char* kGoodTalk = "answer EOF, heard request EOF";
};

class NormalUseOfEach : public NormalUse, public testing::WithParamInterface<const char*> {};

TEST_P(NormalUseOfEach, TorReachesItsRelays) {
  apply(GetParam());
  const Descriptor relay = listen_at(bed_->outside, {kInternet, 9001});
  EXPECT_EQ(talk(uid::kTor, {kInternet, 9001}, relay), kGoodTalk);
  EXPECT_EQ(unfinished_connections(), "");
}

TEST_P(NormalUseOfEach, ClearnetResolvesAndBrowses) {
  apply(GetParam());
  const Descriptor web = listen_at(bed_->outside, {kInternet, 80});
  EXPECT_EQ(talk(uid::kClearnet, {kInternet, 80}, web), kGoodTalk);
  // Whatever resolver DHCP named, on the LAN too.
  for (const IpAddress& address : {kLanResolver, kInternet}) {
    const Descriptor resolver = bind_at(bed_->outside, {address, 53});
    EXPECT_EQ(talk_udp(uid::kClearnet, {address, 53}, resolver),
              "answer from " + to_string(address) + ":53, heard question");
    const Descriptor resolver_tcp = listen_at(bed_->outside, {address, 53});
    EXPECT_EQ(talk(uid::kClearnet, {address, 53}, resolver_tcp), kGoodTalk);
  }
}

TEST_P(NormalUseOfEach, TheLanIsOpenAndItsRefusalsAreHeard) {
  apply(GetParam());
  for (const Uid user : {uid::kAmnesia, uid::kRoot, uid::kStranger}) {
    const Descriptor printer = listen_at(bed_->outside, {kLanNeighbour, 631});
    EXPECT_EQ(talk(user, {kLanNeighbour, 631}, printer), kGoodTalk);
    const Descriptor snmp = bind_at(bed_->outside, {kFarLan, 161});
    EXPECT_EQ(talk_udp(user, {kFarLan, 161}, snmp), "answer from 10.20.30.40:161, heard question");
    // Nobody listens: the neighbour's reset comes back.
    const auto refused = as_user(user, [] { return request({kLanNeighbour, 632}); });
    EXPECT_EQ(refused.value_or("failed"), "ECONNREFUSED");
  }
}

TEST_P(NormalUseOfEach, DataThatOutlivesItsProgramArrives) {
  apply(GetParam());
  // The program writes and ends at once; the kernel sends on for a socket that has no owner any more.
  const std::string page(300000, 'p');
  const Descriptor web = listen_at(bed_->outside, {kInternet, 80});
  auto program = InBackground::start(uid::kClearnet, [&] {
    const auto socket = open_socket(Family::kIpv4, SOCK_STREAM);
    const int large = 1 << 20;
    ::setsockopt(socket->get(), SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    if (connect_tcp(socket->get(), {kInternet, 80}, kPatience) != 0) return std::string("not connected");
    return std::to_string(::send(socket->get(), page.data(), page.size(), MSG_NOSIGNAL));
  });
  TAILS_ASSERT_OK(program);
  ASSERT_TRUE(wait_readable(web.get(), kPatience));
  const Descriptor server(::accept4(web.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const auto written = program->finish();  // it is gone now
  TAILS_ASSERT_OK(written);
  ASSERT_GT(std::stol(*written), 100000);
  EXPECT_EQ(read_to_end(server.get()).size(), static_cast<size_t>(std::stol(*written)) + std::strlen(" EOF"));
}

TEST_P(NormalUseOfEach, AutomapLeadsToTorsTransPort) {
  apply(GetParam());
  const Descriptor trans_port = listen_at(bed_->host, {kLoopbackV4, 9040});
  const Endpoint onion{IpAddress::v4(127, 192, 0, 10), 80};
  auto client = InBackground::start(uid::kAmnesia, [&] { return request(onion); });
  TAILS_ASSERT_OK(client);
  ASSERT_TRUE(wait_readable(trans_port.get(), kPatience));
  const Descriptor server(::accept4(trans_port.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  // Tor asks where the connection was meant to go.
  sockaddr_in meant{};
  socklen_t length = sizeof meant;
  ASSERT_EQ(::getsockopt(server.get(), SOL_IP, SO_ORIGINAL_DST, &meant, &length), 0);
  EXPECT_EQ(IpAddress::from_wire(Family::kIpv4, &meant.sin_addr), onion.address);
  EXPECT_EQ(ntohs(meant.sin_port), onion.port);
  EXPECT_EQ(read_to_end(server.get()), "request EOF");
  EXPECT_EQ(::send(server.get(), "answer", 6, MSG_NOSIGNAL), 6);
  ::shutdown(server.get(), SHUT_WR);
  const auto heard = client->finish();
  EXPECT_EQ(heard.value_or("failed"), "answer EOF");

  for (const Uid user : {uid::kRoot, uid::kStranger, uid::kClearnet, uid::kTor}) {
    EXPECT_EQ(as_user(user, [&] { return request(onion); }).value_or("failed"), "ECONNREFUSED") << user.value;
  }
}

TEST_P(NormalUseOfEach, FastOpenWorks) {
  apply(GetParam());
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_fastopen", "3"));
  const Endpoint relay{kInternet, 9001};
  const Descriptor listener = listen_at(bed_->outside, relay);
  {
    const Inside inside(bed_->outside);
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.tcp_fastopen", "3"));
    const int queue = 16;
    ASSERT_EQ(::setsockopt(listener.get(), IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue), 0);
  }
  // The first connection fetches the cookie, the second carries data in its SYN.
  for (int i = 0; i < 2; ++i) {
    auto client = InBackground::start(uid::kTor, [&] {
      const auto socket = open_socket(Family::kIpv4, SOCK_STREAM);
      const int yes = 1;
      ::setsockopt(socket->get(), IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof yes);
      if (connect_tcp(socket->get(), relay, kPatience) != 0) return std::string("not connected");
      ssize_t sent = -1;
      for (int tries = 0; tries < 500 && sent < 0; ++tries) {
        sent = ::send(socket->get(), "request", 7, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINPROGRESS && errno != EAGAIN) return errno_name(errno);
        if (sent < 0) ::usleep(10000);
      }
      ::shutdown(socket->get(), SHUT_WR);
      return read_to_end(socket->get());
    });
    TAILS_ASSERT_OK(client);
    EXPECT_EQ(serve(listener.get()), "request EOF");
    EXPECT_EQ(client->finish().value_or("failed"), "answer EOF");
  }
  std::ifstream netstat("/proc/thread-self/net/netstat");
  std::string names, values;
  std::getline(netstat, names);
  std::getline(netstat, values);
  std::istringstream name_words(names), value_words(values);
  std::string name, value;
  while (name_words >> name && value_words >> value && name != "TCPFastOpenActive") {
  }
  ASSERT_EQ(name, "TCPFastOpenActive");
  EXPECT_EQ(value, "1");
}

/// One endpoint of a service, for one user.
struct Access {
  const policy::Service* service;
  uint8_t protocol;
  Endpoint at;
  std::optional<Port> from;
};

std::vector<Access> accesses(const policy::Policy& policy) {
  std::vector<Access> all;
  for (const policy::Service& service : policy.services) {
    for (const policy::PortGrant& grant : service.ports) {
      const Port some = 7777;  // of "any port"
      std::vector<Port> ports = {grant.ports.is_any() ? some : grant.ports.first};
      if (!grant.ports.is_any() && grant.ports.last != grant.ports.first) ports.push_back(grant.ports.last);
      const auto from = service.from.empty() ? std::nullopt : std::optional(service.from.front().first);
      for (const Port port : ports) all.push_back({&service, grant.protocol, {service.at, port}, from});
    }
  }
  return all;
}

/// UDP port 53 of 127.0.0.1 is another name of Tor's DNSPort where it is redirected there.
Port behind_redirection(const policy::Policy& policy, uint8_t protocol, const Endpoint& at) {
  const bool is_redirected = policy.tor->redirect_dns && protocol == protocol::kUdp && at == Endpoint{kLoopbackV4, 53};
  return is_redirected ? *policy.tor->dns_port : at.port;
}

/// Whether the policy's own words grant it; the meaning of denials and of "any port" included.
bool is_granted(const policy::Policy& policy, const Access& access, Uid user) {
  const auto names = [user](const std::vector<policy::User>& users) {
    return std::ranges::any_of(users, [user](const policy::User& each) { return each.uid == user; });
  };
  const Port real = behind_redirection(policy, access.protocol, access.at);
  const bool has_alias = real == behind_redirection(policy, access.protocol, {access.at.address, 53});
  bool is_allowed = false;
  for (const policy::Service& service : policy.services) {
    const bool is_meant =
        service.at == access.at.address && std::ranges::any_of(service.ports, [&](const auto& grant) {
          return grant.covers(access.protocol, real) || (has_alias && grant.covers(access.protocol, 53));
        });
    if (!is_meant) continue;
    if (names(service.deny)) return false;
    const bool has_source =
        service.from.empty() ||
        (access.from && std::ranges::any_of(service.from, [&](auto range) { return range.contains(*access.from); }));
    is_allowed |= has_source && names(service.allow);
  }
  return is_allowed;
}

TEST_P(NormalUseOfEach, EveryServiceServesItsUsersAndEndsCleanlyAndServesNobodyElse) {
  const auto policy = profile(GetParam());
  TAILS_ASSERT_OK(policy);
  TAILS_ASSERT_OK(enforce(*bed_, policy::lower(*policy)));  // I2P counts as installed here
  size_t served = 0, refused = 0;
  std::set<std::pair<uint8_t, Endpoint>> done;
  for (const Access& access : accesses(*policy)) {
    if (!done.emplace(access.protocol, access.at).second) continue;
    const bool is_tcp = access.protocol == protocol::kTcp;
    const Endpoint behind{access.at.address, behind_redirection(*policy, access.protocol, access.at)};
    const Descriptor server = is_tcp ? listen_at(bed_->host, behind) : bind_at(bed_->host, behind);
    for (const Uid user : all_users()) {
      const std::string what =
          access.service->name + " port " + std::to_string(access.at.port) + " user " + std::to_string(user.value);
      SocketOptions options;
      if (access.from) options.from = Endpoint{access.at.address, *access.from};
      if (!is_granted(*policy, access, user)) {
        const bool is_v6 = access.at.address.family == Family::kIpv6;
        const SocketOwner owner(user);  // no process for each: they are hundreds
        const std::string said = is_tcp ? errno_name(try_tcp(access.at, options, is_v6 ? milliseconds(0) : kPatience))
                                        : ask(access.at, options);
        // Over IPv6 the kernel itself takes a second to hear of it (holes_test.cpp, the fourteenth).
        const char* refusal = is_tcp ? (is_v6 ? "ETIMEDOUT" : "ECONNREFUSED") : "EPERM";
        EXPECT_EQ(said, refusal) << what;
        ++refused;
      } else if (is_tcp) {
        EXPECT_EQ(talk(user, access.at, server, options), kGoodTalk) << what;
        ++served;
      } else {
        EXPECT_EQ(talk_udp(user, access.at, server, options), "answer from 127.0.0." +
                                                                  std::to_string(access.at.address.low & 0xFF) + ":" +
                                                                  std::to_string(access.at.port) + ", heard question")
            << what;
        ++served;
      }
      // Behind an answer that is only queued, the last ACKs may still be under way.
      for (int tries = 0; tries < 200 && !unfinished_connections().empty(); ++tries) ::usleep(5000);
      EXPECT_EQ(unfinished_connections(), "") << what;
    }
  }
  EXPECT_GT(served, 10U);
  EXPECT_GT(refused, 100U);
}

INSTANTIATE_TEST_SUITE_P(Profiles, NormalUseOfEach, testing::ValuesIn(kProfiles), [](const auto& parameter) {
  std::string name = parameter.param;
  std::erase(name, '-');
  return name;
});

TEST_F(NormalUse, TorResolvesBridges) {
  apply("tails");
  for (const IpAddress& address : {kLanResolver, kInternet}) {
    const Descriptor resolver = bind_at(bed_->outside, {address, 53});
    EXPECT_EQ(talk_udp(uid::kTor, {address, 53}, resolver),
              "answer from " + to_string(address) + ":53, heard question");
  }
}

TEST_F(NormalUse, SystemDnsIsAnsweredAsIfByPort53) {
  apply("tails");
  const Descriptor tor = bind_at(bed_->host, {kLoopbackV4, 5353});
  for (const Uid user : {uid::kAmnesia, uid::kHtp, uid::kRoot}) {
    EXPECT_EQ(talk_udp(user, {kLoopbackV4, 53}, tor), "answer from 127.0.0.1:53, heard question");
    EXPECT_EQ(talk_udp(user, {kLoopbackV4, 5353}, tor), "answer from 127.0.0.1:5353, heard question");
  }
}

TEST_F(NormalUse, GuestsReachTheServicesThatTheyAreGranted) {
  apply("tails");
  const Descriptor socks = listen_at(bed_->host, {IpAddress::v4(0), 9050});
  const Descriptor filter = listen_at(bed_->host, {IpAddress::v4(0), 951});
  const auto from_guest = [&](const char* name, const IpAddress& host, Port port, const Descriptor& listener) {
    const Inside inside(bed_->guests.at(name));
    return talk(uid::kAmnesia, {host, port}, listener);
  };
  EXPECT_EQ(from_guest("tbb", IpAddress::v4(10, 200, 1, 1), 9050, socks), kGoodTalk);
  EXPECT_EQ(from_guest("tbb", IpAddress::v4(10, 200, 1, 1), 951, filter), kGoodTalk);
  EXPECT_EQ(from_guest("onionshare", IpAddress::v4(10, 200, 1, 13), 9050, socks), kGoodTalk);
  EXPECT_EQ(from_guest("onioncircs", IpAddress::v4(10, 200, 1, 5), 951, filter), kGoodTalk);
  EXPECT_EQ(from_guest("tca", IpAddress::v4(10, 200, 1, 9), 951, filter), kGoodTalk);
  EXPECT_EQ(unfinished_connections(), "");
  const auto denied = [&](const char* name, const Endpoint& to) {
    const Inside inside(bed_->guests.at(name));
    return as_user(uid::kAmnesia, [&] { return errno_name(try_tcp(to)); }).value_or("failed");
  };
  EXPECT_EQ(denied("tca", {IpAddress::v4(10, 200, 1, 9), 9050}), "ETIMEDOUT");
  EXPECT_EQ(denied("tbb", {kInternet, 80}), "ETIMEDOUT");
}

TEST_F(NormalUse, TheUnsafeBrowserResolvesAndBrowsesFromItsGuest) {
  apply("tails");
  const Descriptor web = listen_at(bed_->outside, {kInternet, 80});
  const Descriptor resolver = bind_at(bed_->outside, {kLanResolver, 53});
  const Inside inside(bed_->guests.at("clearnet"));
  EXPECT_EQ(talk(uid::kAmnesia, {kInternet, 80}, web), kGoodTalk);
  EXPECT_EQ(talk_udp(uid::kAmnesia, {kLanResolver, 53}, resolver), "answer from 192.168.50.53:53, heard question");
  EXPECT_EQ(as_user(uid::kAmnesia, [] { return request({kInternet, 81}); }).value_or("failed"), "ECONNREFUSED");
}

TEST_F(NormalUse, FiveHundredBlockedConnectionsAtOnceAreAllRefused) {
  apply("tails");
  const auto hanging = [] {
    return as_user(uid::kAmnesia,
                   [] {
                     size_t hang = 0;
                     for (int i = 0; i < 500; ++i) {
                       hang += try_tcp({kInternet, 443}, {}, milliseconds(0)) == ECONNREFUSED ? 0U : 1U;
                     }
                     return std::to_string(hang);
                   })
        .value_or("failed");
  };
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.icmp_ratemask", "6168"));  // the kernel's own
  EXPECT_NE(hanging(), "0");
  TAILS_ASSERT_OK(set_sysctl("net.ipv4.icmp_ratemask", "6160"));  // as the profile's [host] has it
  EXPECT_EQ(hanging(), "0");
}

}  // namespace
}  // namespace tails::testbed
