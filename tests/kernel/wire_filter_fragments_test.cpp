// Large packets through the filter on the wire, which sees them in pieces.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <thread>

#include "net/frame_builder.h"
#include "tests/fastpath/fragments.h"
#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/profile.h"
#include "tests/kernel/wire_filter.h"

namespace tails::testbed {
namespace {

using fastpath::cut;
using fastpath::FrameBytes;
using fastpath::in_pieces;

class WireFilterFragments : public WireFilter {
 protected:
  void SetUp() override {
    WireFilter::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_NO_FATAL_FAILURE(apply());
    ASSERT_NO_FATAL_FAILURE(open_the_kernel());
    const Inside inside(*network_);
    auto made = bind_udp({kInternet, 53});
    TAILS_ASSERT_OK(made);
    server_ = std::move(*made);
  }

  [[nodiscard]] Descriptor user(Uid who) const {
    const Inside inside(*machine_);
    const SocketOwner owner(who);
    auto socket = open_socket(Family::kIpv4, SOCK_DGRAM);
    EXPECT_TRUE(socket);
    return std::move(*socket);
  }

  /// What goes out until nothing more does: frames that came out at the network, and the bytes of their IP packets.
  std::vector<Frame> frames_until_silence() {
    std::vector<Frame> all;
    const auto is_quiet = [&] {
      std::this_thread::sleep_for(kSilence);
      auto more = drain();
      std::ranges::move(more, std::back_inserter(all));
      return more.empty();
    };
    while (!is_quiet()) {
    }
    return all;
  }

  Descriptor server_;
};

std::string text_of(size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

TEST_P(WireFilterFragments, LargePacketsOfWhoMaySendPassBothWaysAndNoOthers) {
  ASSERT_NO_FATAL_FAILURE(start_filter({"--reassemble"}));
  const Descriptor tor = user(uid::kTor), amnesia = user(uid::kAmnesia);
  for (const size_t bytes : {1473U, 4000U, 30'000U, 65'000U}) {
    ASSERT_EQ(send_to(tor.get(), {kInternet, 53}, text_of(bytes)), 0);
    const auto question = receive(server_.get(), kPatience);
    ASSERT_TRUE(question) << bytes;
    EXPECT_TRUE(question->text == text_of(bytes)) << bytes;
    ASSERT_EQ(send_to(server_.get(), question->from, text_of(bytes - 1)), 0);
    const auto answer = receive(tor.get(), kPatience);
    ASSERT_TRUE(answer) << bytes;
    EXPECT_TRUE(answer->text == text_of(bytes - 1)) << bytes;
  }
  // As many pieces as came, each as large, and without tag.
  size_t pieces = 0;
  for (const Frame& frame : drain()) {
    EXPECT_LE(frame.bytes.size(), 1500U);
    EXPECT_EQ(wire::read_ipv4(frame.bytes).dscp(), 0);
    ++pieces;
  }
  EXPECT_EQ(pieces, 2U + 3 + 21 + 44);

  ASSERT_EQ(send_to(amnesia.get(), {kInternet, 53}, text_of(4000)), 0);
  EXPECT_TRUE(frames_until_silence().empty());
}

TEST_P(WireFilterFragments, WithoutTheOptionNoPieceComesThrough) {
  ASSERT_NO_FATAL_FAILURE(start_filter());
  const Descriptor tor = user(uid::kTor);
  ASSERT_EQ(send_to(tor.get(), {kInternet, 53}, text_of(4000)), 0);
  EXPECT_TRUE(frames_until_silence().empty());
  ASSERT_EQ(send_to(tor.get(), {kInternet, 53}, "whole"), 0);
  EXPECT_TRUE(receive(server_.get(), kPatience));
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  EXPECT_NE(content(out()).find("drop     fragment"), std::string::npos) << content(out());
}

TEST_P(WireFilterFragments, NoOrderNoOverlapAndNoStrangersPieceGetsAForbiddenPacketOut) {
  ASSERT_NO_FATAL_FAILURE(start_filter({"--reassemble"}));
  constexpr uint8_t kTor = 45, kNobody = 0;
  const auto frame_of = [](uint8_t tag, Port port, IpAddress to = kInternet) {
    wire::FrameSpec spec;
    spec.protocol = protocol::kUdp;
    spec.source = kHostInternet;
    spec.destination = to;
    spec.destination_port = port;
    spec.tos = static_cast<uint8_t>(tag << 2);
    spec.payload.resize(100, std::byte{'x'});
    return wire::build_frame(spec);
  };
  uint16_t id = 100;
  const auto send = [&](const std::vector<FrameBytes>& pieces) {
    for (const FrameBytes& piece : pieces) send_frame(*machine_, "eth0", piece);
    ++id;
  };
  const auto reversed = [](std::vector<FrameBytes> pieces) {
    std::ranges::reverse(pieces);
    return pieces;
  };
  const FrameBytes good = frame_of(kTor, 53), other = frame_of(kTor, 54);
  const FrameBytes bad = frame_of(kNobody, 443), leak = frame_of(kNobody, 53);

  // A sound one first, in the worst order: it comes out in one frame, because it fits.
  send(reversed(in_pieces(good, 8, id)));
  const auto came = frames_until_silence();
  ASSERT_EQ(came.size(), 1U);
  EXPECT_EQ(wire::read_ipv4(came[0].bytes).fault, wire::Fault::kNone);

  send(in_pieces(bad, 48, id));
  send(reversed(in_pieces(bad, 48, id)));
  send(in_pieces(frame_of(kTor, 53, IpAddress::v4(127, 0, 0, 1)), 48, id));
  // Tor's packet with a stranger's piece, either way round.
  send({in_pieces(good, 48, id)[0], in_pieces(leak, 48, id)[1], in_pieces(leak, 48, id)[2]});
  send({in_pieces(leak, 48, id)[0], in_pieces(good, 48, id)[1], in_pieces(good, 48, id)[2]});
  // A header that a later piece would write over, the same place, and before and behind it.
  send({cut(good, {0, 48, true}, id), cut(other, {0, 48, true}, id), cut(good, {48, 60, false}, id)});
  send({cut(good, {0, 48, true}, id), cut(other, {0, 56, true}, id), cut(good, {48, 60, false}, id)});
  send({cut(other, {0, 16, true}, id), cut(good, {8, 40, true}, id), cut(good, {48, 60, false}, id)});
  send({cut(good, {0, 48, true}, id), cut(good, {40, 68, false}, id)});
  // Never whole.
  send({cut(good, {0, 48, true}, id), cut(good, {96, 12, false}, id)});
  for (const Frame& frame : frames_until_silence()) {
    ADD_FAILURE() << "LEAKED: " << frame.bytes.size() << " bytes, id " << ip_id_of(frame.bytes);
  }

  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  const std::string said = content(out());
  EXPECT_NE(said.find("drop     fragment: overlap"), std::string::npos) << said;
  EXPECT_NE(said.find("packets were put together from"), std::string::npos) << said;
}

// By AF_PACKET the kernel puts them together itself.
INSTANTIATE_TEST_SUITE_P(AfXdp, WireFilterFragments, ::testing::Values("af_xdp"));

class WireFilterAfPacket : public WireFilter {};

TEST_P(WireFilterAfPacket, RefusesToPutFragmentsTogetherAndSaysWhatWould) {
  const Inside inside(*filter_space_);
  const auto run_it =
      run({.arguments = {TAILS_FASTPATH_PROGRAM, "--policy", "tails", "--user-map", std::string(kAccounts), "fastpath",
                         "run", "--inside", "inside", "--outside", "outside", "--reassemble", "--", "--no-telemetry"}});
  TAILS_ASSERT_OK(run_it);
  EXPECT_EQ(run_it->status, 2);
  EXPECT_EQ(run_it->err,
            "tails-iptc: --reassemble does not work at inside: by AF_PACKET the kernel puts fragments together itself, "
            "and what does not fit one frame then is lost\n"
            "  Take a NIC that is bound to DPDK, or af_xdp:inside.\n");
}

INSTANTIATE_TEST_SUITE_P(Refusal, WireFilterAfPacket, ::testing::Values("af_packet"));

}  // namespace
}  // namespace tails::testbed
