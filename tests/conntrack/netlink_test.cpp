#include "conntrack/netlink.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <limits>
#include <optional>
#include <thread>

#include "conntrack/table.h"

namespace tails::conntrack {
namespace {

constexpr uint16_t kAnswer = 100;

/// Stands where the kernel would: reads one request and sends what a script says. Each datagram is a list of messages.
class FakeKernel {
 public:
  struct Message {
    uint16_t type = kAnswer;
    uint16_t flags = NLM_F_MULTI;
    int32_t number = 0;
    uint32_t sequence_offset = 0;
    bool is_cut_short = false;  ///< Without the number.
  };
  using Datagram = std::vector<Message>;

  FakeKernel() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = ends[0];
    theirs_ = ends[1];
  }
  ~FakeKernel() {
    ::shutdown(ours_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(ours_);
  }
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  NetlinkSocket socket() const { return NetlinkSocket::adopt(theirs_); }

  /// One list of datagrams for each request.
  void play(std::vector<std::vector<Datagram>> script) {
    thread_ = std::thread([this, script = std::move(script)] {
      for (const auto& answers : script) {
        nlmsghdr request{};
        if (::recv(ours_, &request, sizeof request, 0) <= 0) return;
        for (const Datagram& datagram : answers) send(datagram, request.nlmsg_seq);
      }
    });
  }

 private:
  void send(const Datagram& datagram, uint32_t sequence) const {
    std::vector<char> bytes;
    for (const Message& message : datagram) {
      nlmsghdr header{};
      header.nlmsg_len = NLMSG_LENGTH(message.is_cut_short ? 0 : sizeof message.number);
      header.nlmsg_type = message.type;
      header.nlmsg_flags = message.flags;
      header.nlmsg_seq = sequence + message.sequence_offset;
      const size_t at = bytes.size();
      bytes.resize(at + header.nlmsg_len);
      std::memcpy(&bytes[at], &header, sizeof header);
      if (!message.is_cut_short) std::memcpy(&bytes[at + NLMSG_HDRLEN], &message.number, sizeof message.number);
    }
    EXPECT_GT(::send(ours_, bytes.data(), bytes.size(), MSG_NOSIGNAL), 0);
  }

  int ours_ = -1;
  int theirs_ = -1;
  std::thread thread_;
};

constexpr FakeKernel::Message kDone{NLMSG_DONE, NLM_F_MULTI, 0, 0};
constexpr FakeKernel::Message kInterrupted{kAnswer, NLM_F_MULTI | NLM_F_DUMP_INTR, 7, 0};

std::vector<int> numbers_in_dump(NetlinkSocket& socket, Result<void, Errno>& result) {
  std::vector<int> seen;
  Request request(1, 0, 0);
  result = socket.dump(
      request,
      [&](const nlmsghdr& message) {
        int number = 0;
        std::memcpy(&number, reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN, sizeof number);
        seen.push_back(number);
      },
      [&] { seen.clear(); });
  return seen;
}

TEST(NetlinkDump, GivesTheMessagesOfAllDatagramsInOrder) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  kernel.play({{{{.number = 1}, {.number = 2}}, {{.number = 3}}, {kDone}}});
  Result<void, Errno> result;
  EXPECT_EQ(numbers_in_dump(socket, result), (std::vector{1, 2, 3}));
  EXPECT_TRUE(result.has_value());
}

TEST(NetlinkDump, StartsOverWhenTheKernelSaysItWasInterrupted) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  kernel.play({{{{.number = 1}, kInterrupted}, {kDone}}, {{{.number = 4}, {.number = 5}}, {kDone}}});
  Result<void, Errno> result;
  EXPECT_EQ(numbers_in_dump(socket, result), (std::vector{4, 5}));
  EXPECT_TRUE(result.has_value());
}

TEST(NetlinkDump, GivesUpWhenItIsInterruptedEveryTime) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  kernel.play(std::vector<std::vector<FakeKernel::Datagram>>(NetlinkSocket::kMaxDumps, {{kInterrupted, kDone}}));
  Result<void, Errno> result;
  (void)numbers_in_dump(socket, result);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), Errno{EAGAIN});
}

TEST(NetlinkDump, ReportsTheErrorThatEndsIt) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  kernel.play({{{{.number = 1}}, {{NLMSG_DONE, NLM_F_MULTI, -ENOMEM, 0}}},
               {{{NLMSG_ERROR, 0, -EPERM, 0}}},
               {{{.number = 9}}, {kDone}}});
  Result<void, Errno> result;
  (void)numbers_in_dump(socket, result);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), Errno{ENOMEM});
  (void)numbers_in_dump(socket, result);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), Errno{EPERM});
  EXPECT_EQ(numbers_in_dump(socket, result), std::vector{9});
}

TEST(NetlinkDump, IgnoresTheRestOfAnEarlierAnswer) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  const FakeKernel::Message stale{kAnswer, NLM_F_MULTI, 66, 1000};
  const FakeKernel::Message stale_end{NLMSG_DONE, NLM_F_MULTI, 0, 1000};
  kernel.play({{{stale, stale_end}, {{.number = 1}, kDone}}});
  Result<void, Errno> result;
  EXPECT_EQ(numbers_in_dump(socket, result), std::vector{1});
}

TEST(NetlinkDump, PassesOverWhatSaysNothing) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  const FakeKernel::Message end_without_number{NLMSG_DONE, NLM_F_MULTI, 0, 0, true};
  kernel.play({{{{NLMSG_NOOP, 0, 66, 0}, {.number = 1}, end_without_number, {.number = 2}}}});
  Result<void, Errno> result;
  EXPECT_EQ(numbers_in_dump(socket, result), std::vector{1}) << "and not what stands behind the end";
  EXPECT_TRUE(result.has_value());
}

TEST(NetlinkDump, AnErrorWithoutANumberOrWithNoneThatIsOneIsAProtocolError) {
  for (const FakeKernel::Message& broken :
       {FakeKernel::Message{NLMSG_ERROR, 0, 0, 0, true},
        FakeKernel::Message{NLMSG_ERROR, 0, std::numeric_limits<int32_t>::min(), 0}}) {
    FakeKernel kernel;
    auto socket = kernel.socket();
    kernel.play({{{broken}}});
    Result<void, Errno> result;
    (void)numbers_in_dump(socket, result);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error(), Errno{EPROTO});
  }
}

TEST(NetlinkDump, WhatIsLongerThanTheBufferIsAnErrorAndFitsTheNextTime) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  const FakeKernel::Datagram long_one(4000);
  kernel.play({{long_one, {kDone}}, {long_one, {kDone}}});
  Result<void, Errno> result;
  (void)numbers_in_dump(socket, result);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), Errno{EMSGSIZE});
  EXPECT_EQ(numbers_in_dump(socket, result).size(), long_one.size());
  EXPECT_TRUE(result.has_value());
}

TEST(NetlinkSocket, GivesAnswersBeforeTheAcknowledgementAndOnlyToThoseWhoAsk) {
  FakeKernel kernel;
  auto socket = kernel.socket();
  const FakeKernel::Message acknowledgement{NLMSG_ERROR, 0, 0, 0};
  kernel.play(
      {{{{.number = 7}, acknowledgement}}, {{{.number = 8}, acknowledgement}}, {{{NLMSG_ERROR, 0, -EBUSY, 0}}}});
  int answers = 0;
  Request request(1, 0, 0);
  EXPECT_TRUE(socket.ask(request, [&](const nlmsghdr&) { ++answers; }).has_value());
  EXPECT_EQ(answers, 1);
  EXPECT_TRUE(socket.ask(request, {}).has_value());
  const auto refused = socket.ask(request, {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error(), Errno{EBUSY});
}

TEST(NetlinkSocket, WhosePeerIsGoneSaysSo) {
  std::optional<FakeKernel> kernel(std::in_place);
  auto first = kernel->socket();
  const auto nobody = [&](NetlinkSocket& socket) {
    Request request(1, 0, 0);
    return socket.ask(request, {});
  };
  kernel.reset();
  const auto sent = nobody(first);
  ASSERT_FALSE(sent.has_value());
  EXPECT_EQ(sent.error(), Errno{EPIPE});
  const auto received = first.receive();
  ASSERT_FALSE(received.has_value());
  EXPECT_EQ(received.error(), Errno{ECONNRESET});

  // Another one takes its place.
  FakeKernel second;
  first = second.socket();
  second.play({{{{NLMSG_ERROR, 0, 0, 0}}}});
  EXPECT_TRUE(nobody(first).has_value());
}

TEST(NetlinkErrno, IsAWordForPeople) {
  EXPECT_EQ(words(Errno{EPERM}), "permission denied (EPERM)");
  EXPECT_EQ(words(Errno{EACCES}), "permission denied (EACCES)");
  EXPECT_EQ(words(Errno{ENOBUFS}), "no buffer space available (ENOBUFS)");
  EXPECT_EQ(words(Errno{4711}), "error 4711");
}

TEST(FlowError, TakesTheErrorsOfAKernelWithoutConntrackForAMissingModule) {
  for (const int number : {EPROTONOSUPPORT, EAFNOSUPPORT, EINVAL}) {
    const Error error = flow_error("cannot list flows", Errno{number});
    EXPECT_EQ(error.message, "cannot list flows: this kernel has no conntrack netlink (module nf_conntrack_netlink)");
    EXPECT_EQ(error.system_errno, EPROTONOSUPPORT);
  }
}

TEST(FlowError, NamesTheMissingModule) {
  const Error error = flow_error("cannot list flows", Errno{EPROTONOSUPPORT});
  EXPECT_EQ(error.message, "cannot list flows: this kernel has no conntrack netlink (module nf_conntrack_netlink)");
  EXPECT_EQ(error.remedy, "Load it with `modprobe nf_conntrack_netlink`, or use a kernel with CONFIG_NF_CT_NETLINK.");
  EXPECT_EQ(error.kind, ErrorKind::kRefused);
  EXPECT_EQ(error.system_errno, EPROTONOSUPPORT);
}

TEST(FlowError, NamesTheMissingCapability) {
  const Error error = flow_error("cannot list flows", Errno{EPERM});
  EXPECT_EQ(error.message, "cannot list flows: permission denied (EPERM)");
  EXPECT_EQ(error.remedy, "Run as root, or with CAP_NET_ADMIN.");
  EXPECT_EQ(error.kind, ErrorKind::kRefused);
}

TEST(FlowError, SaysWhatTheKernelSaid) {
  EXPECT_EQ(flow_error("cannot remove flows", Errno{ENOMEM}).message,
            "cannot remove flows: cannot allocate memory (ENOMEM)");
  EXPECT_EQ(flow_error("cannot list flows", Errno{EAGAIN}).remedy,
            "The flow table changed during every attempt to read it. Try again.");
}

}  // namespace
}  // namespace tails::conntrack
