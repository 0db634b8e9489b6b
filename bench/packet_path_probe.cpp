// What one send or one connection costs in the rules of this network namespace: the loop that bench/growth times.
//
//   packet_path_probe udp|tcp ADDRESS PORT UID COUNT through|refused
//
// As user UID it sends COUNT datagrams to, or opens COUNT connections to, ADDRESS:PORT on loopback, where this program
// itself listens, and waits for each connection if it is to get through. Prints the nanoseconds of one, and how many
// of them got through: "1234.5 20000".
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "packet_path_probe: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

const sockaddr* generic(const sockaddr_in& address) { return reinterpret_cast<const sockaddr*>(&address); }

int listen_at(int type, const sockaddr_in& address) {
  const int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, generic(address), sizeof address) != 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 16) != 0) die("listen");
  return fd;
}

/// Ends with a reset, so that no state of it stays.
void cut(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

long send_datagrams(int receiver, const sockaddr_in& to, long count) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  char byte = 0;
  long through = 0;
  for (long i = 0; i < count; ++i) {
    if (sendto(fd, &byte, 1, 0, generic(to), sizeof to) == 1 && recv(receiver, &byte, 1, 0) == 1) ++through;
  }
  close(fd);
  return through;
}

long open_connections(int listener, const sockaddr_in& to, bool gets_through, long count) {
  long through = 0;
  for (long i = 0; i < count; ++i) {
    // Nobody waits for the timer that notices a refused SYN.
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    static_cast<void>(connect(fd, generic(to), sizeof to));
    int accepted = accept(listener, nullptr, nullptr);
    if (accepted < 0 && gets_through) {
      pollfd waiting{listener, POLLIN, 0};
      poll(&waiting, 1, 1000);
      accepted = accept(listener, nullptr, nullptr);
    }
    // Whoever opened it resets it: conntrack then lets the same port open a flow again at once.
    cut(fd);
    if (accepted >= 0) {
      cut(accepted);
      ++through;
    }
  }
  return through;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: packet_path_probe udp|tcp ADDRESS PORT UID COUNT through|refused\n");
    return 2;
  }
  const bool is_udp = std::string_view(argv[1]) == "udp";
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[3])));
  if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) die(argv[2]);
  const auto user = static_cast<uid_t>(std::atol(argv[4]));
  const long count = std::atol(argv[5]);
  const bool gets_through = std::string_view(argv[6]) == "through";

  const int server = listen_at(is_udp ? SOCK_DGRAM : SOCK_STREAM, to);
  if (setresuid(user, user, user) != 0) die("setresuid");
  const auto run = [&](long times) {
    return is_udp ? send_datagrams(server, to, times) : open_connections(server, to, gets_through, times);
  };
  run(count / 10);
  const auto start = std::chrono::steady_clock::now();
  const long through = run(count);
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - start;
  std::printf("%.1f %ld\n", time.count() / static_cast<double>(count), through);
  return 0;
}
