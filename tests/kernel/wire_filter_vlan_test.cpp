// A filter that is told owners by VLAN tags: `--owner vlan`.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "net/frame_builder.h"
#include "tests/kernel/wire_filter.h"

namespace tails::testbed {
namespace {

constexpr uint16_t kTor = 45, kClearnet = 46;

class WireFilterVlan : public WireFilter {
 protected:
  void SetUp() override {
    WireFilter::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    ASSERT_NO_FATAL_FAILURE(start_filter({"--owner", "vlan"}));
  }
};

wire::FrameSpec to_internet(Port from, std::optional<uint16_t> vlan) {
  wire::FrameSpec spec;
  spec.source = kHostInternet;
  spec.destination = kInternet;
  spec.source_port = from;
  spec.vlan = vlan;
  return spec;
}

TEST_P(WireFilterVlan, TheTagTellsTheOwnerAndIsTakenOff) {
  struct Try {
    const char* what;
    std::optional<uint16_t> vlan;
    bool passes;
  };
  constexpr Try kTries[] = {{"Tor's", kTor, true},
                            {"nobody's", std::nullopt, false},
                            {"a tag that nobody has", 62, false},
                            {"a VLAN that is no tag", 64 + kTor, false},
                            {"VLAN 0, which only carries a priority", 0, false}};
  Port port = 30000;
  for (const Try& one : kTries) {
    send_frame(*machine_, "eth0", wire::build_frame(to_internet(++port, one.vlan)));
    const auto came = watch_until_silence();
    ASSERT_EQ(came.size(), one.passes ? 1U : 0U) << one.what;
    EXPECT_TRUE(!one.passes || came[0].source_port == port);
  }
  // What a program writes into DSCP is no tag here.
  wire::FrameSpec forged = to_internet(++port, std::nullopt);
  forged.tos = kTor << 2;
  send_frame(*machine_, "eth0", wire::build_frame(forged));
  // Nor is a second tag.
  auto twice = wire::build_frame(to_internet(++port, kTor));
  const std::vector<std::byte> tag(twice.begin() + 12, twice.begin() + 16);
  twice.insert(twice.begin() + 12, tag.begin(), tag.end());
  send_frame(*machine_, "eth0", twice);
  EXPECT_THAT(watch_until_silence(), ::testing::IsEmpty());
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  const std::string said = content(out());
  for (const char* reason : {"unknown_tag", "vlan"}) {
    EXPECT_NE(said.find(std::string("drop     ") + reason), std::string::npos) << reason << "\n" << said;
  }
}

TEST_P(WireFilterVlan, BytesBehindThePacketDoNotLeave) {
  auto frame = wire::build_frame(to_internet(30100, kTor));
  const std::string secret = "not for the network";
  for (int i = 0; i < 10; ++i) {
    for (const char c : secret) frame.push_back(static_cast<std::byte>(c));
  }
  send_frame(*machine_, "eth0", frame);
  std::vector<Frame> came;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (came.empty() && std::chrono::steady_clock::now() < deadline) came = drain();
  ASSERT_EQ(came.size(), 1U);
  EXPECT_LE(came[0].bytes.size(), 60U);  // as long as the packet, or padded to what Ethernet asks
  const std::string seen(reinterpret_cast<const char*>(came[0].bytes.data()), came[0].bytes.size());
  EXPECT_EQ(seen.find("not"), std::string::npos);
}

TEST_P(WireFilterVlan, AFlowKeepsItsOwnerAndAnswersComeBackUntagged) {
  auto machine = Wire::watch(*machine_);
  TAILS_ASSERT_OK(machine);
  wire::FrameSpec question = to_internet(30000, kTor);
  question.protocol = protocol::kUdp;
  question.destination_port = 53;
  send_frame(*machine_, "eth0", wire::build_frame(question));
  ASSERT_EQ(watch_until_silence().size(), 1U);
  question.vlan = kClearnet;  // may ask too, but not in Tor's flow
  send_frame(*machine_, "eth0", wire::build_frame(question));
  EXPECT_THAT(watch_until_silence(), ::testing::IsEmpty());

  wire::FrameSpec answer = question;
  std::swap(answer.source, answer.destination);
  std::swap(answer.source_port, answer.destination_port);
  const auto answers_at_the_machine = [&](std::optional<uint16_t> vlan) {
    EXPECT_TRUE(machine->drain());
    answer.vlan = vlan;
    send_frame(*network_, "wire0", wire::build_frame(answer));
    std::this_thread::sleep_for(kSilence);
    size_t count = 0;
    const auto frames = machine->drain();
    EXPECT_TRUE(frames);
    if (!frames) return count;
    for (const Frame& frame : *frames) {
      const auto packet = dissect(frame.bytes);
      if (packet && packet->protocol == protocol::kUdp && packet->destination_port == 30000) ++count;
    }
    return count;
  };
  EXPECT_EQ(answers_at_the_machine(std::nullopt), 1U);
  EXPECT_EQ(answers_at_the_machine(kTor), 0U) << "the network gives tags to the machine";
}

INSTANTIATE_TEST_SUITE_P(AfPacket, WireFilterVlan, ::testing::Values("af_packet"));
INSTANTIATE_TEST_SUITE_P(AfXdp, WireFilterVlan, ::testing::Values("af_xdp"));

}  // namespace
}  // namespace tails::testbed
