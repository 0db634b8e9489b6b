// Fragments in honest and hostile orders, put on a cable to this kernel and given to our own reassembly: what ours
// makes whole the kernel makes whole, byte for byte, and where only the kernel does, ours says why it did not.
#include "fastpath/reassembly.h"

#include <gtest/gtest.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <thread>

#include "net/frame_builder.h"
#include "tests/fastpath/fragments.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/wire.h"
#include "tests/kernel/wire_filter.h"
#include "tests/policy/dice.h"

namespace tails::testbed {
namespace {

using fastpath::Cut;
using fastpath::cut;
using fastpath::FragmentFault;
using fastpath::FrameBytes;
using fastpath::in_pieces;
using fastpath::OwnerSource;
using fastpath::Reassembler;
using fastpath::Side;
using testing::Dice;

constexpr size_t kPayload = 200;

class ReassemblyByTheKernel : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    for (NetworkNamespace** space : {&sender_, &receiver_}) {
      auto made = NetworkNamespace::create();
      TAILS_ASSERT_OK(made);
      *space = &spaces_.emplace_back(std::move(*made));
    }
    ip_batch(*receiver_, "link add name wire0 type veth peer name eth0 netns /proc/" + std::to_string(::getpid()) +
                             "/fd/" + std::to_string(sender_->fd()) +
                             "\nlink set dev wire0 address 02:00:00:00:00:02 up\naddr add 192.0.2.1/24 dev wire0\n");
    ip_batch(*sender_, "link set dev eth0 up\n");
    {
      const Inside inside(*sender_);
      cable_ = Descriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
      sockaddr_ll at{};
      at.sll_family = AF_PACKET;
      at.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
      ASSERT_EQ(::bind(cable_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    }
    const Inside inside(*receiver_);
    // Nothing but the fragments themselves is to decide: no room, no distance between them.
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.ipfrag_high_thresh", "100000000"));
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.ipfrag_max_dist", "0"));
    TAILS_ASSERT_OK(set_sysctl("net.ipv4.conf.all.rp_filter", "0"));
    auto made = bind_udp({IpAddress::v4(192, 0, 2, 1), 7});
    TAILS_ASSERT_OK(made);
    socket_ = std::move(*made);
    const int room = 32 << 20;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  }

  /// The datagram number `id`: its number stands in its source port and all over its text.
  static FrameBytes datagram(uint16_t id) {
    wire::FrameSpec spec;
    spec.protocol = protocol::kUdp;
    spec.source = IpAddress::v4(192, 0, 2, 10);
    spec.destination = IpAddress::v4(192, 0, 2, 1);
    spec.source_port = id;
    spec.destination_port = 7;
    spec.payload.resize(kPayload - 8);
    for (size_t i = 0; i < spec.payload.size(); ++i) spec.payload[i] = static_cast<std::byte>(i * 3 + id);
    return wire::build_frame(spec);
  }

  static size_t udp_text_bytes(std::span<const std::byte> udp) {
    return (std::to_integer<size_t>(udp[4]) << 8 | std::to_integer<size_t>(udp[5])) - 8;
  }

  struct Made {
    std::map<uint16_t, std::string> ours, kernels;       ///< What became whole, by number.
    std::map<uint16_t, std::set<FragmentFault>> faults;  ///< Why ours dropped pieces.
  };

  /// Gives the fragments to both, in their order.
  Made give(const std::vector<std::pair<uint16_t, FrameBytes>>& fragments) {
    Made made;
    Reassembler reassembler(OwnerSource::kNone, 1, {.packets = 4096, .fragments = 16384});
    reassembler.when_dropped(
        [&](uint64_t number, FragmentFault fault) { made.faults[static_cast<uint16_t>(number)].insert(fault); });
    for (const auto& [id, fragment] : fragments) {
      EXPECT_EQ(::send(cable_.get(), fragment.data(), fragment.size(), 0), static_cast<ssize_t>(fragment.size()));
      EXPECT_TRUE(reassembler.take(Side::kOutside, fragment, id));
      if (const auto whole = reassembler.next()) {
        // The kernel's socket sees to the checksum.
        const wire::Ipv4 ip = wire::read_ipv4(whole->frame.subspan(14));
        if (ip.fault != wire::Fault::kNone) continue;
        const auto text = whole->frame.subspan(14 + 20 + 8, udp_text_bytes(whole->frame.subspan(14 + 20)));
        made.ours[id] = {reinterpret_cast<const char*>(text.data()), text.size()};
      }
    }
    while (const auto datagram = receive(socket_.get(), std::chrono::milliseconds(100))) {
      made.kernels[datagram->from.port] = datagram->text;
    }
    return made;
  }

  std::deque<NetworkNamespace> spaces_;
  NetworkNamespace* sender_ = nullptr;
  NetworkNamespace* receiver_ = nullptr;
  Descriptor cable_;   ///< Takes frames at the sender's end.
  Descriptor socket_;  ///< Takes datagrams at the receiver's.
};

TEST_F(ReassemblyByTheKernel, EveryHonestOrderBecomesWholeInBoth) {
  Dice dice(testing::seed_or(41));
  std::vector<std::pair<uint16_t, FrameBytes>> all;
  constexpr uint16_t kCount = 500;
  for (uint16_t id = 1; id <= kCount; ++id) {
    auto pieces = in_pieces(datagram(id), 8 * (1 + dice.below(20)), id);
    if (pieces.size() == 1) pieces = in_pieces(datagram(id), 104, id);
    const size_t again = dice.below(3);
    // The last one to come is not repeated: behind a whole packet a repetition begins a new one, in both.
    for (size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[dice.below(i)]);
    for (size_t i = 0; i < again; ++i) pieces.insert(pieces.begin(), FrameBytes(pieces[dice.below(pieces.size() - 1)]));
    for (FrameBytes& piece : pieces) all.emplace_back(id, std::move(piece));
  }
  const Made made = give(all);
  EXPECT_EQ(made.kernels.size(), kCount);
  EXPECT_TRUE(made.ours == made.kernels);
}

TEST_F(ReassemblyByTheKernel, OfHostileOnesOursMakesNothingWholeThatTheKernelDoesNot) {
  Dice dice(testing::seed_or(42));
  std::vector<std::pair<uint16_t, FrameBytes>> all;
  constexpr uint16_t kCount = 2000;
  for (uint16_t id = 1; id <= kCount; ++id) {
    const FrameBytes frame = datagram(id);
    std::vector<FrameBytes> pieces = in_pieces(frame, 8 * (3 + dice.below(10)), id);
    for (size_t i = pieces.size(); i > 1; --i) std::swap(pieces[i - 1], pieces[dice.below(i)]);
    for (size_t n = 1 + dice.below(2); n > 0; --n) {
      Cut odd{8 * dice.below(kPayload / 8), 8 * (1 + dice.below(6)), true};
      if (dice.chance(20)) odd.has_more = odd.offset == 0;
      if (dice.chance(10)) odd.bytes = dice.below(30);
      FrameBytes piece = cut(frame, odd, id);
      if (dice.chance(20) && odd.bytes != 0) piece.back() ^= std::byte{1};
      pieces.insert(pieces.begin() + static_cast<long>(dice.below(pieces.size() + 1)), piece);
    }
    for (FrameBytes& piece : pieces) all.emplace_back(id, std::move(piece));
  }
  const Made made = give(all);
  std::map<std::string, int> only_the_kernel;
  for (uint16_t id = 1; id <= kCount; ++id) {
    const auto ours = made.ours.find(id), kernels = made.kernels.find(id);
    if (ours != made.ours.end()) {
      ASSERT_NE(kernels, made.kernels.end()) << id;
      EXPECT_TRUE(ours->second == kernels->second) << id;
    } else if (kernels != made.kernels.end()) {
      const auto faults = made.faults.find(id);
      ASSERT_NE(faults, made.faults.end()) << id;
      for (const FragmentFault fault : faults->second) ++only_the_kernel[std::string(name(fault))];
    }
  }
  // Both agree on most, and both refuse many.
  EXPECT_GT(made.ours.size(), kCount / 10);
  EXPECT_LT(made.kernels.size(), kCount * 9 / 10);
  // Ours is stricter where a repetition says something else or lies over two pieces, where lengths are uneven, and in
  // that what was refused stays refused.
  for (const auto& [fault, count] : only_the_kernel) {
    EXPECT_TRUE(fault == "overlap" || fault == "uneven" || fault == "refused" || fault == "inconsistent" ||
                fault == "empty" || fault == "duplicate")
        << fault << " " << count;
  }
  RecordProperty("ours", static_cast<int>(made.ours.size()));
  RecordProperty("kernels", static_cast<int>(made.kernels.size()));
}

}  // namespace
}  // namespace tails::testbed
