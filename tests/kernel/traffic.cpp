#include "tests/kernel/traffic.h"

#include <sys/socket.h>
#include <unistd.h>

#include <string_view>
#include <thread>

#include "net/descriptor.h"
#include "tests/kernel/harness/sockets.h"

namespace tails::testbed {
namespace {

using std::chrono::milliseconds;

/// FNV-1a.
uint64_t add_to_sum(uint64_t sum, std::string_view text) {
  for (const char c : text) sum = (sum ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return sum;
}
constexpr uint64_t kEmptySum = 0xcbf29ce484222325U;

std::string receive_exactly(int socket, size_t length) {
  std::string text(length, '\0');
  size_t have = 0;
  while (have < length) {
    if (!wait_readable(socket, milliseconds(60'000))) return {};
    const ssize_t n = ::recv(socket, text.data() + have, length - have, 0);
    if (n <= 0) return {};
    have += static_cast<size_t>(n);
  }
  return text;
}

}  // namespace

bool is_of(const Attempt& attempt, const Packet& packet) {
  return packet.protocol == attempt.protocol && packet.destination == attempt.to.address &&
         packet.destination_port == attempt.to.port;
}

std::string try_again_and_again(const Attempt& attempt, std::atomic<uint64_t>& attempts, const std::atomic<bool>& end,
                                std::chrono::microseconds pause) {
  if (::nice(10) < 0) return "nice";
  while (!end) {
    auto socket = open_socket(attempt.to.address.family, attempt.protocol == protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM);
    if (!socket) return socket.error().message;
    if (attempt.protocol == protocol::kTcp) {
      connect_tcp(socket->get(), attempt.to, milliseconds(0));
    } else {
      send_to(socket->get(), attempt.to, "question");
    }
    ++attempts;
    if (pause.count() > 0) std::this_thread::sleep_for(pause);
  }
  return "";
}

std::string stream(const Endpoint& to, std::atomic<uint64_t>& streamed, const std::atomic<bool>& end) {
  auto socket = open_socket(Family::kIpv4, SOCK_STREAM);
  if (!socket) return socket.error().message;
  if (const int problem = connect_tcp(socket->get(), to, milliseconds(5000)); problem != 0) {
    return "connect: " + errno_name(problem);
  }
  uint64_t sum = kEmptySum;
  uint64_t number = 1;
  while (!end) {
    std::string block(512, '\0');
    for (char& c : block) {
      number = number * 6364136223846793005U + 1442695040888963407U;
      c = static_cast<char>(number >> 56);
    }
    if (::send(socket->get(), block.data(), block.size(), MSG_NOSIGNAL) != 512) return "send failed";
    if (receive_exactly(socket->get(), block.size()) != block) return "the answer is cut or not what was sent";
    sum = add_to_sum(sum, block);
    streamed += block.size();
    std::this_thread::sleep_for(milliseconds(1));
  }
  ::shutdown(socket->get(), SHUT_WR);
  return std::to_string(streamed) + " " + std::to_string(sum);
}

std::string echo(int listener) {
  if (!wait_readable(listener, milliseconds(60'000))) return "nobody came";
  const Descriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  uint64_t sum = kEmptySum;
  uint64_t bytes = 0;
  std::string part(4096, '\0');
  for (ssize_t n = 0; (n = ::recv(client.get(), part.data(), part.size(), 0)) > 0;) {
    const std::string_view got(part.data(), static_cast<size_t>(n));
    sum = add_to_sum(sum, got);
    bytes += got.size();
    ::send(client.get(), got.data(), got.size(), MSG_NOSIGNAL);
  }
  return std::to_string(bytes) + " " + std::to_string(sum);
}

}  // namespace tails::testbed
