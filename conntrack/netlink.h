#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "net/address.h"
#include "net/result.h"

namespace tails::conntrack {

/// The value of errno after a failed call; never 0.
enum class Errno : int {};

/// "permission denied (EPERM)".
std::string words(Errno error);

/// The family as messages have it, in nfgen_family and rtm_family.
constexpr uint8_t wire_family(Family family) { return family == Family::kIpv4 ? AF_INET : AF_INET6; }

/// A netlink request, built with libmnl in a buffer of its own. One message of up to 512 bytes.
class Request {
 public:
  /// `fixed_bytes`: the struct that follows the header (struct nfgenmsg, struct rtmsg …), zeroed.
  Request(uint16_t type, uint16_t flags, size_t fixed_bytes);

  /// The struct after the header.
  template <class T>
  T& fixed() {
    return *reinterpret_cast<T*>(bytes_.data() + NLMSG_HDRLEN);
  }
  nlmsghdr& header() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

 private:
  alignas(nlmsghdr) std::array<std::byte, 512> bytes_{};
};

/// A netlink socket whose only peer is the kernel: what other processes send to it is refused. Move-only;
/// not thread-safe. Failures are plain errno values; who knows what was asked for makes words of them.
class NetlinkSocket {
 public:
  using OnMessage = std::function<void(const nlmsghdr&)>;

  /// `bus`: NETLINK_NETFILTER, NETLINK_ROUTE or NETLINK_SOCK_DIAG, in the calling thread's network namespace.
  static Result<NetlinkSocket, Errno> open(int bus);
  /// Takes over a connected datagram socket. Tests put a peer of their own where the kernel would be.
  static NetlinkSocket adopt(int file_descriptor);

  NetlinkSocket(NetlinkSocket&& other) noexcept;
  NetlinkSocket& operator=(NetlinkSocket&& other) noexcept;
  ~NetlinkSocket();

  [[nodiscard]] int fd() const { return fd_; }

  /// Sends one or more messages as they are.
  Result<void, Errno> send(std::span<const std::byte> messages);
  /// The next datagram, waiting for it; valid until the next call. ENOBUFS: the kernel had to drop some.
  Result<std::span<const std::byte>, Errno> receive();

  /// Asks for a dump and gives each message of the answer to `on_message`. Where the kernel says that the
  /// dump is not one consistent view (NLM_F_DUMP_INTR), calls `on_restart` and asks again, at most
  /// kMaxDumps times in all, then EAGAIN. Constant memory.
  Result<void, Errno> dump(Request& request, const OnMessage& on_message, const std::function<void()>& on_restart);
  static constexpr int kMaxDumps = 10;

  /// Sends one request with NLM_F_ACK and gives what comes before the acknowledgement to `on_message`
  /// (may be empty).
  Result<void, Errno> ask(Request& request, const OnMessage& on_message);

 private:
  explicit NetlinkSocket(int file_descriptor);
  enum class End { kComplete, kInterrupted };
  Result<End, Errno> read_answer(uint32_t sequence, const OnMessage& on_message);

  int fd_ = -1;
  uint32_t sequence_ = 0;
  std::vector<std::byte> buffer_;
};

/// The errno in an NLMSG_ERROR message, 0 for an acknowledgement.
int error_in(const nlmsghdr& message);

}  // namespace tails::conntrack
