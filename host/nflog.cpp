#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <map>
#include <vector>

#include "host/blocked_log.h"
#include "host/nflog_message.h"
#include "net/errno_words.h"
#include "net/netlink.h"

namespace tails::host {
namespace {

tl::unexpected<Error> nflog_refused(const std::string& what, int number) {
  // No module takes such messages (nfnetlink_rcv_msg), or any of the family.
  if (number == EINVAL || number == EPROTONOSUPPORT) {
    return fail(ErrorKind::kRefused, what + ": this kernel has no nfnetlink_log",
                "Load it with `modprobe nfnetlink_log`, or let the policy log to the kernel's messages.", number);
  }
  const char* remedy = "";
  if (number == EPERM) remedy = "Run as root.";
  // Of a group that another socket reads the kernel says EPERM (nfulnl_recv_config).
  if (number == EBUSY || (number == EPERM && ::geteuid() == 0)) {
    remedy = "Another program reads this group: end it, or let the policy log to another group.";
  }
  return fail(ErrorKind::kRefused, what + ": " + errno_words(number), remedy, number);
}

std::string cannot_listen(uint16_t group) { return "cannot listen to NFLOG group " + std::to_string(group); }

struct Close {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, Close>;

/// By libmnl and not by libnetfilter_log: that library and the one below it would be loaded at every start of the
/// program, for six messages.
class Nflog final : public BlockedLog {
 public:
  explicit Nflog(Socket socket) : socket_(std::move(socket)) {}

  Result<void> read(std::chrono::milliseconds patience, const OnPacket& on_packet) override {
    pollfd end{mnl_socket_get_fd(socket_.get()), POLLIN, 0};
    if (::poll(&end, 1, static_cast<int>(patience.count())) < 0 && errno != EINTR) {
      return nflog_refused("cannot wait for NFLOG", errno);
    }
    constexpr int kAtOnce = 64;
    for (int i = 0; i < kAtOnce; ++i) {
      const ssize_t size = ::recv(end.fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (size < 0 && errno == EAGAIN) return {};
      if (size < 0 && errno == ENOBUFS) ++overruns_;
      if (size < 0 && (errno == EINTR || errno == ENOBUFS)) continue;
      if (size < 0) return nflog_refused("cannot read NFLOG", errno);
      netlink::for_each_message(std::as_bytes(std::span(buffer_)).first(static_cast<size_t>(size)),
                                [&](const nlmsghdr& message) { take(message, on_packet); });
    }
    return {};
  }
  [[nodiscard]] Losses losses() const override { return {lost_, overruns_ > 0}; }

  Result<void> configure(uint16_t group) {
    constexpr uint32_t kCopy = 128;  // headers are enough
    constexpr uint32_t kBatch = 64, kHundredthsToWait = 5;
    // First: once bound, packets of the group come at once.
    const int room = 16 << 20;
    const int fd = mnl_socket_get_fd(socket_.get());
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    }
    nfulnl_msg_config_mode mode{};
    mode.copy_range = htonl(kCopy);
    mode.copy_mode = NFULNL_COPY_PACKET;
    if (auto done = command(group, NFULNL_CFG_CMD_BIND); !done) return done;
    if (auto done = set(group, NFULA_CFG_MODE, &mode, sizeof mode); !done) return done;
    const uint32_t batch = htonl(kBatch), timeout = htonl(kHundredthsToWait);
    if (auto done = set(group, NFULA_CFG_QTHRESH, &batch, sizeof batch); !done) return done;
    if (auto done = set(group, NFULA_CFG_TIMEOUT, &timeout, sizeof timeout); !done) return done;
    // Last: from here on packets are numbered, from 0, and none that has a number may be missed.
    const uint16_t flags = htons(NFULNL_CFG_F_SEQ);
    return set(group, NFULA_CFG_FLAGS, &flags, sizeof flags);
  }

 private:
  Result<void> command(uint16_t group, uint8_t what) {
    nfulnl_msg_config_cmd command{};
    command.command = what;
    return set(group, NFULA_CFG_CMD, &command, sizeof command);
  }

  Result<void> set(uint16_t group, uint16_t attribute, const void* value, size_t size) {
    std::array<char, 256> request{};
    nlmsghdr* message = mnl_nlmsg_put_header(request.data());
    message->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    message->nlmsg_seq = ++sequence_;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    header->nfgen_family = AF_UNSPEC;
    header->res_id = htons(group);
    mnl_attr_put(message, attribute, size, value);
    const std::string what = cannot_listen(group);
    const auto send = [&] { return mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) >= 0; };
    if (!send()) return nflog_refused(what, errno);
    bool is_told_twice = false;
    constexpr int kMostTimes = 1000;
    // Packets of the group may come before the answer; the first ones of a watch are not missed by anybody.
    for (int times = 1;;) {
      const ssize_t size_got = ::recv(mnl_socket_get_fd(socket_.get()), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      // In a flood the answer itself may be among what did not fit in.
      if (size_got < 0 && (errno == EINTR || errno == ENOBUFS)) continue;
      // The kernel answers before sendto returns, so it is lost, which the kernel says only of the first loss. To be
      // told twice changes nothing for it: of a group it says that it is bound already.
      if (size_got < 0 && errno == EAGAIN) {
        if (++times > kMostTimes) return nflog_refused(what, ENOBUFS);
        if (!send()) return nflog_refused(what, errno);
        is_told_twice = true;
        continue;
      }
      if (size_got < 0) return nflog_refused(what, errno);
      std::optional<nlmsgerr> answer;
      netlink::for_each_message(std::as_bytes(std::span(buffer_)).first(static_cast<size_t>(size_got)),
                                [&](const nlmsghdr& reply) {
                                  const bool is_ours = reply.nlmsg_type == NLMSG_ERROR && reply.nlmsg_seq == sequence_;
                                  if (is_ours) answer = netlink::fixed_part<nlmsgerr>(reply);
                                });
      if (!answer) continue;
      if (answer->error == 0 || (is_told_twice && answer->error == -EBUSY)) return {};
      return nflog_refused(what, -answer->error);
    }
  }

  void take(const nlmsghdr& message, const OnPacket& on_packet) {
    auto read = read_nflog_message(message);
    if (!read) return;
    if (read->sequence) {
      const uint32_t gap = *read->sequence - next_;
      lost_ += gap;
      if (gap > 0 && overruns_ > 0) --overruns_;
      next_ = *read->sequence + 1;
    }
    if (!read->packet) return;
    if (read->out_index) read->packet->out = name_of(*read->out_index);
    on_packet(*read->packet);
  }

  /// Asked of the kernel once per interface: at thousands of packets a second that matters.
  InterfaceName name_of(uint32_t index) {
    const auto known = names_.find(index);
    if (known != names_.end()) return known->second;
    std::array<char, IF_NAMESIZE> name{};
    const bool is_there = ::if_indextoname(index, name.data()) != nullptr;
    constexpr size_t kMost = 256;
    if (names_.size() >= kMost) names_.clear();
    return names_[index] = is_there ? InterfaceName::make(name.data()).value_or(InterfaceName{}) : InterfaceName{};
  }

  Socket socket_;
  std::vector<char> buffer_ = std::vector<char>(1 << 18);
  std::map<uint32_t, InterfaceName> names_;
  uint32_t next_ = 0;
  uint64_t lost_ = 0;
  /// Told by the kernel (ENOBUFS) and not yet seen as a gap. A full socket takes nothing more until it has been read
  /// empty (netlink_overrun, NETLINK_S_CONGESTED), so each time makes one gap.
  unsigned overruns_ = 0;
  uint32_t sequence_ = 0;
};

}  // namespace

Result<std::unique_ptr<BlockedLog>> open_nflog(uint16_t group) {
  Socket socket(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
  if (socket == nullptr) return nflog_refused(cannot_listen(group), errno);
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return nflog_refused("cannot bind a netlink socket", errno);
  auto log = std::make_unique<Nflog>(std::move(socket));
  if (auto done = log->configure(group); !done) return tl::unexpected(done.error());
  return log;
}

}  // namespace tails::host
