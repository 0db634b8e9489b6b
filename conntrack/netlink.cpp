#include "conntrack/netlink.h"

#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "net/netlink.h"

namespace tails::conntrack {
namespace {

// The kernel fills at most 32 KiB at a time (netlink_dump in net/netlink/af_netlink.c), and only when the
// reader offers that much.
constexpr size_t kBufferBytes = 65536;

// Room for the answers to a batch of which every request fails.
constexpr int kReceiveQueueBytes = 4 << 20;

tl::unexpected<Errno> last_error() { return tl::unexpected(Errno{errno}); }

}  // namespace

std::string words(Errno error) {
  const int number = static_cast<int>(error);
  switch (number) {
    case EPERM: return "permission denied (EPERM)";
    case EACCES: return "permission denied (EACCES)";
    default: break;
  }
  const char* name = strerrorname_np(number);
  const char* description = strerrordesc_np(number);
  if (name == nullptr || description == nullptr) return "error " + std::to_string(number);
  std::string text = description;
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text + " (" + name + ")";
}

Request::Request(uint16_t type, uint16_t flags, size_t fixed_bytes) {
  nlmsghdr* message = mnl_nlmsg_put_header(bytes_.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  mnl_nlmsg_put_extra_header(message, fixed_bytes);
}

NetlinkSocket::NetlinkSocket(int file_descriptor) : fd_(file_descriptor), buffer_(kBufferBytes) {}

Result<NetlinkSocket, Errno> NetlinkSocket::open(int bus) {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, bus);
  if (fd < 0) return last_error();
  NetlinkSocket socket(fd);
  // Both only spare memory and time; a kernel or a user that may not is served as well.
  const int on = 1;
  (void)::setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  (void)::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveQueueBytes, sizeof kReceiveQueueBytes);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) != 0) return last_error();
  return socket;
}

NetlinkSocket NetlinkSocket::adopt(int file_descriptor) { return NetlinkSocket(file_descriptor); }

NetlinkSocket::NetlinkSocket(NetlinkSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), sequence_(other.sequence_), buffer_(std::move(other.buffer_)) {}

NetlinkSocket& NetlinkSocket::operator=(NetlinkSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(sequence_, other.sequence_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

NetlinkSocket::~NetlinkSocket() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void, Errno> NetlinkSocket::send(std::span<const std::byte> messages) {
  for (;;) {
    if (::send(fd_, messages.data(), messages.size(), MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return last_error();
  }
}

Result<std::span<const std::byte>, Errno> NetlinkSocket::receive() {
  for (;;) {
    const ssize_t bytes = ::recv(fd_, buffer_.data(), buffer_.size(), MSG_TRUNC);
    if (bytes < 0) {
      if (errno == EINTR) continue;
      return last_error();
    }
    if (bytes == 0) return tl::unexpected(Errno{ECONNRESET});
    if (static_cast<size_t>(bytes) <= buffer_.size()) return std::span(buffer_).first(static_cast<size_t>(bytes));
    // Lost; a larger buffer makes the next attempt work.
    buffer_.resize(static_cast<size_t>(bytes));
    return tl::unexpected(Errno{EMSGSIZE});
  }
}

int error_in(const nlmsghdr& message) {
  if (message.nlmsg_len < NLMSG_LENGTH(sizeof(int))) return EPROTO;
  int error = 0;
  std::memcpy(&error, reinterpret_cast<const std::byte*>(&message) + NLMSG_HDRLEN, sizeof error);
  // No errno, and its opposite is no int.
  if (error == std::numeric_limits<int>::min()) return EPROTO;
  return error < 0 ? -error : error;
}

Result<NetlinkSocket::End, Errno> NetlinkSocket::read_answer(uint32_t sequence, const OnMessage& on_message) {
  bool interrupted = false;
  for (;;) {
    const auto datagram = receive();
    if (!datagram) return tl::unexpected(datagram.error());
    bool done = false;
    int error = 0;
    netlink::for_each_message(*datagram, [&](const nlmsghdr& message) {
      // What an earlier, given-up request left behind.
      if (message.nlmsg_seq != sequence || done) return;
      if ((message.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      switch (message.nlmsg_type) {
        case NLMSG_NOOP: return;
        case NLMSG_DONE:
          // A dump that failed half-way says so in the number that follows (netlink_dump_done).
          error = message.nlmsg_len >= NLMSG_LENGTH(sizeof(int)) ? error_in(message) : 0;
          done = true;
          return;
        case NLMSG_ERROR:
          error = error_in(message);
          done = true;
          return;
        default:
          if (on_message) on_message(message);
      }
    });
    if (error != 0) return tl::unexpected(Errno{error});
    if (done) return interrupted ? End::kInterrupted : End::kComplete;
  }
}

Result<void, Errno> NetlinkSocket::dump(Request& request, const OnMessage& on_message,
                                        const std::function<void()>& on_restart) {
  nlmsghdr& header = request.header();
  header.nlmsg_flags |= NLM_F_DUMP;
  for (int attempt = 1; attempt <= kMaxDumps; ++attempt) {
    if (attempt > 1 && on_restart) on_restart();
    header.nlmsg_seq = ++sequence_;
    if (const auto sent = send({reinterpret_cast<const std::byte*>(&header), header.nlmsg_len}); !sent) return sent;
    const auto end = read_answer(header.nlmsg_seq, on_message);
    if (!end) return tl::unexpected(end.error());
    if (*end == End::kComplete) return {};
  }
  return tl::unexpected(Errno{EAGAIN});
}

Result<void, Errno> NetlinkSocket::ask(Request& request, const OnMessage& on_message) {
  nlmsghdr& header = request.header();
  header.nlmsg_flags |= NLM_F_ACK;
  header.nlmsg_seq = ++sequence_;
  if (const auto sent = send({reinterpret_cast<const std::byte*>(&header), header.nlmsg_len}); !sent) return sent;
  const auto end = read_answer(header.nlmsg_seq, on_message);
  if (!end) return tl::unexpected(end.error());
  return {};
}

}  // namespace tails::conntrack
