// Captures that tcpdump 4.99 and tshark 4.0 wrote, in captures/: of one machine (192.0.2.10; IPv6 is on) that connects
// as Tor (tag 45) and to the LAN, and leaks a connection, a datagram and IPv6.
#include "fastpath/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fastpath/capture/capture_file.h"
#include "net/frame_builder.h"
#include "policy/lower.h"
#include "policy/lower_owner_tags.h"
#include "tests/policy/generators.h"

namespace tails::fastpath {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

std::string capture(const std::string& name) { return TAILS_CAPTURES "/" + name; }

struct Judged {
  Inside inside;
  std::vector<Replay::Entry> entries;
  std::vector<std::pair<uint64_t, uint32_t>> times;
  std::string error;
};

Judged judge(const std::string& path, Replay::Options options = {}, OwnerSource source = OwnerSource::kDscp,
             std::optional<Inside> inside = std::nullopt) {
  const policy::Policy policy = testing::profile("tails");
  WireView view;
  view.owner_source = source;
  view.owners = *policy::owner_tags(policy);
  const ruleset::RuleSet rules = policy::lower(policy);
  Judged judged;
  const auto each = [&](auto&& take) {
    auto file = CaptureFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    while (true) {
      const auto frame = file->next();
      if (!frame) judged.error = frame.error().message;
      if (!frame || !*frame) return;
      take(**frame);
    }
  };
  StationBook book;
  each([&](const CapturedFrame& frame) { book.learn(frame); });
  judged.inside = inside ? *inside : book.is_told() ? Inside() : book.busiest().value_or(Inside());
  Replay replay(rules, view, judged.inside, options);
  const auto add = [&](const std::vector<Replay::Entry>& entries) {
    judged.entries.insert(judged.entries.end(), entries.begin(), entries.end());
  };
  each([&](const CapturedFrame& frame) {
    add(replay.judge(frame));
    judged.times.emplace_back(frame.seconds, frame.nanoseconds);
  });
  add(replay.finish());
  // Something is said of every frame, once.
  std::ranges::sort(judged.entries, {}, &Replay::Entry::number);
  EXPECT_EQ(judged.entries.size(), judged.times.size());
  for (size_t i = 0; i < judged.entries.size(); ++i) EXPECT_EQ(judged.entries[i].number, i + 1);
  return judged;
}

/// How often each Finding was found, in their order.
std::vector<int> counts(const Judged& judged) {
  std::vector<int> result(kFindingCount);
  for (const Replay::Entry& entry : judged.entries) ++result[static_cast<size_t>(entry.finding)];
  return result;
}

std::vector<std::string> leaks(const Judged& judged) {
  std::vector<std::string> result;
  for (const Replay::Entry& entry : judged.entries) {
    if (entry.finding == Finding::kLeak) result.emplace_back(name(entry.ruling.outcome));
  }
  return result;
}

constexpr wire::MacAddress kMachine = {2, 0, 0, 0, 0, 1};

// passes, leak, dropped, link, cannot tell, loopback
TEST(Replay, TellsLeaksFromTheRestInAnEthernetCapture) {
  const Judged judged = judge(capture("eth.pcap"));
  EXPECT_THAT(judged.inside.stations, ElementsAre(kMachine));
  EXPECT_THAT(counts(judged), ElementsAre(12, 5, 2, 4, 0, 0));
  EXPECT_THAT(leaks(judged), ElementsAre("ipv6", "ipv6", "ipv6", "blocked", "blocked"));
}
TEST(Replay, ReadsNanoseconds) {
  const Judged judged = judge(capture("nano.pcap"));
  EXPECT_THAT(counts(judged), ElementsAre(12, 4, 2, 4, 0, 0));
  EXPECT_TRUE(std::ranges::any_of(judged.times, [](const auto& time) { return time.second % 1000 != 0; }));
}
TEST(Replay, ReadsWhatTsharkWrites) {
  EXPECT_THAT(counts(judge(capture("tshark.pcapng"))), ElementsAre(12, 4, 2, 4, 0, 0));
}
TEST(Replay, ReadsWhatABigEndianMachineWroteInMicroAndNanoseconds) {
  const Judged eth = judge(capture("eth.pcap")), nano = judge(capture("nano.pcap"));
  for (const char* name : {"eth_big_endian.pcap", "eth_big_endian.pcapng"}) {
    const Judged judged = judge(capture(name));
    EXPECT_EQ(counts(judged), counts(eth)) << name;
    EXPECT_EQ(leaks(judged), leaks(eth)) << name;
    EXPECT_EQ(judged.times, eth.times) << name;
  }
  for (const char* name : {"nano_big_endian.pcap", "nano_big_endian.pcapng", "nano.pcapng"}) {
    const Judged judged = judge(capture(name));
    EXPECT_EQ(counts(judged), counts(nano)) << name;
    EXPECT_EQ(judged.times, nano.times) << name;
  }
}
TEST(Replay, ReadsSeveralInterfacesOfOneKindAndSaysWhatToDoWithSeveralKinds) {
  const Judged judged = judge(capture("two_interfaces.pcapng"));
  EXPECT_THAT(counts(judged), ElementsAre(23, 9, 5, 8, 0, 0));
  const std::string path = capture("two_links.pcapng");
  auto file = CaptureFile::open(path);
  ASSERT_TRUE(file);
  const auto frame = file->next();
  ASSERT_FALSE(frame);
  EXPECT_EQ(frame.error().message, "the capture " + path + " holds interfaces of different kinds of link");
  EXPECT_EQ(frame.error().remedy,
            "One at a time can be judged. The first one's packets: `tshark -r " + path +
                " -Y 'frame.interface_id == 0' -w one.pcapng`, then `editcap -T ether -F pcap one.pcapng one.pcap` "
                "(linux-sll, linux-sll2 or rawip where it is no Ethernet).");
}
TEST(Replay, ReadsCookedCapturesOfBothKindsAndLeavesLoopbackOut) {
  EXPECT_THAT(counts(judge(capture("cooked.pcap"))), ElementsAre(12, 4, 2, 4, 0, 22));
  EXPECT_THAT(counts(judge(capture("cooked2.pcap"))), ElementsAre(12, 4, 2, 4, 0, 22));
}
TEST(Replay, SixtyBytesAreEnoughForHeadersAndFortyAreNot) {
  EXPECT_THAT(counts(judge(capture("snap60.pcap"))), ElementsAre(12, 4, 2, 4, 0, 0));
  const Judged judged = judge(capture("snap40.pcap"));
  for (const Replay::Entry& entry : judged.entries) {
    EXPECT_EQ(entry.finding, Finding::kCannotTell);
    EXPECT_EQ(entry.reason, "truncated at 40 bytes");
  }
}
TEST(Replay, OfCutCookedAndTaggedFramesItSaysThatItCannotTell) {
  // 20 bytes of header, 24 of the packet: the ports are there, TCP's flags and an IPv6 header are not.
  const Judged cooked = judge(capture("cooked2_snap44.pcap"));
  EXPECT_EQ(counts(cooked)[static_cast<size_t>(Finding::kLoopback)], 22);
  EXPECT_EQ(counts(cooked)[static_cast<size_t>(Finding::kPasses)], 0);
  EXPECT_GT(counts(cooked)[static_cast<size_t>(Finding::kCannotTell)], 15);
  for (const Replay::Entry& entry : cooked.entries) {
    EXPECT_TRUE(entry.finding != Finding::kCannotTell || entry.reason == "truncated at 44 bytes") << entry.reason;
  }
  const Inside inside{{kMachine}, std::nullopt, false};
  // 18 bytes of header, 28 of the packet: enough for UDP, but not for TCP.
  const Judged vlan = judge(capture("vlan_snap46.pcap"), {}, OwnerSource::kVlan, inside);
  EXPECT_THAT(counts(vlan), ElementsAre(1, 2, 0, 0, 4, 0));
}
TEST(Replay, PutsFragmentsTogetherWhereItIsToldTo) {
  // Tor's packet in three pieces, and nobody's.
  EXPECT_THAT(leaks(judge(capture("fragments.pcap"))),
              ElementsAre("fragment", "fragment", "fragment", "fragment", "fragment", "fragment"));
  const Replay::Options together{.reassembles = true};
  const Judged judged = judge(capture("fragments.pcap"), together);
  EXPECT_THAT(counts(judged), ElementsAre(3, 3, 0, 0, 0, 0));
  EXPECT_THAT(leaks(judged), ElementsAre("blocked", "blocked", "blocked"));
  EXPECT_EQ(judged.entries[0].ruling.packet->destination_port, 53);
  // The headers are enough.
  EXPECT_THAT(counts(judge(capture("fragments_snap80.pcap"), together)), ElementsAre(3, 3, 0, 0, 0, 0));
  // Whoever may send them, somebody may.
  EXPECT_THAT(counts(judge(capture("fragments.pcap"), {.any_owner = true, .reassembles = true})),
              ElementsAre(6, 0, 0, 0, 0, 0));
  const Judged missing = judge(capture("fragments_missing.pcap"), together);
  EXPECT_THAT(counts(missing), ElementsAre(0, 0, 0, 0, 2, 0));
  EXPECT_EQ(missing.entries[0].reason, "fragment: unfinished");
}
TEST(Replay, ReadsVlanTagsAsOwnersOrAsFramesThatDoNotBelong) {
  const Inside inside{{kMachine}, std::nullopt, false};
  const Judged judged = judge(capture("vlan.pcap"), {}, OwnerSource::kVlan, inside);
  EXPECT_THAT(counts(judged), ElementsAre(4, 3, 0, 0, 0, 0));
  EXPECT_THAT(leaks(judged), ElementsAre("blocked", "blocked", "owner_changed"));
  EXPECT_THAT(leaks(judge(capture("vlan.pcap"), {}, OwnerSource::kDscp, inside)),
              ElementsAre("vlan", "vlan", "blocked", "vlan", "vlan", "vlan"));
}
TEST(Replay, FindsTheMachineByItsAddressToo) {
  const policy::Policy policy = testing::profile("tails");
  auto file = CaptureFile::open(capture("eth.pcap"));
  StationBook book;
  while (auto frame = *file->next()) book.learn(*frame);
  const Inside inside = book.sending_from(*Prefix::parse("192.0.2.0/28"));
  // The router has an address of that network too.
  EXPECT_EQ(inside.stations.size(), 2U);
  EXPECT_THAT(book.sending_from(*Prefix::parse("192.0.2.10")).stations, ElementsAre(kMachine));
  EXPECT_EQ(book.address_of(kMachine), IpAddress::v4(192, 0, 2, 10));
}
TEST(Replay, WithAnyOwnerOnlyWhatNobodyMaySendIsALeak) {
  const Judged judged = judge(capture("eth.pcap"), {.any_owner = true});
  // The connection to port 80 and the question to a resolver could be Tor's.
  EXPECT_THAT(leaks(judged), ElementsAre("ipv6", "ipv6", "ipv6"));
}

/// A capture of our own in any of the four forms of pcap.
class Scratch {
 public:
  Scratch() : path_(std::filesystem::temp_directory_path() / ("replay." + std::to_string(::getpid()) + ".pcap")) {}
  ~Scratch() { std::filesystem::remove(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string write(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return path_;
  }

 private:
  std::string path_;
};

std::string content(const std::string& path) {
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  return bytes.str();
}

/// The same little-endian capture as a machine of the other byte order writes it.
std::string with_other_byte_order(std::string bytes) {
  const auto turn = [&](size_t at, size_t size) {
    std::reverse(bytes.begin() + static_cast<long>(at), bytes.begin() + static_cast<long>(at + size));
  };
  const auto length_at = [&](size_t at) {
    size_t value = 0;
    for (size_t i = 4; i > 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
    return value;
  };
  for (size_t at = 24; at + 16 <= bytes.size();) {
    const size_t length = length_at(at + 8);
    for (size_t field = 0; field < 16; field += 4) turn(at + field, 4);
    at += 16 + length;
  }
  for (const auto& [at, size] : {std::pair<size_t, size_t>{0, 4}, {4, 2}, {6, 2}, {8, 4}, {12, 4}, {16, 4}, {20, 4}})
    turn(at, size);
  return bytes;
}

TEST(Replay, ReadsBothByteOrdersInMicroAndNanoseconds) {
  const Scratch scratch;
  for (const char* name : {"eth.pcap", "nano.pcap", "cooked2.pcap", "snap60.pcap"}) {
    const Judged here = judge(capture(name));
    const Judged there = judge(scratch.write(with_other_byte_order(content(capture(name)))));
    EXPECT_EQ(counts(here), counts(there)) << name;
    EXPECT_EQ(here.times, there.times) << name;
  }
}

TEST(Replay, EveryTruncatedFileIsJudgedUpToItsEndOrRefused) {
  const Scratch scratch;
  const std::string whole = content(capture("eth.pcap"));
  size_t complaints = 0;
  for (size_t length = 24; length < whole.size(); length += 7) {
    const Judged judged = judge(scratch.write(whole.substr(0, length)));
    complaints += judged.error.empty() ? 0U : 1U;
    EXPECT_TRUE(judged.error.empty() || judged.error.find("is damaged: truncated dump file") != std::string::npos)
        << judged.error;
  }
  EXPECT_GT(complaints, 100U);
}

TEST(CaptureFile, SaysWhyItCannotBeRead) {
  const Scratch scratch;
  EXPECT_EQ(CaptureFile::open("/nonexistent.pcap").error().message,
            "cannot read the capture /nonexistent.pcap: No such file or directory");
  const std::string path = scratch.write("This is no capture, but it is long enough to have a header.");
  EXPECT_EQ(CaptureFile::open(path).error().message, "cannot read the capture " + path + ": unknown file format");
  std::string usb = content(capture("eth.pcap"));
  usb[20] = static_cast<char>(220);  // LINKTYPE_USB_LINUX_MMAPPED
  EXPECT_THAT(CaptureFile::open(scratch.write(usb)).error().message,
              StartsWith("the capture " + path + " is of a link of type USB"));
}

TEST(Replay, JudgesBareIp) {
  const Scratch scratch;
  std::string bytes = content(capture("eth.pcap")).substr(0, 24);
  bytes[20] = 101;  // LINKTYPE_RAW
  wire::FrameSpec spec;
  spec.source = IpAddress::v4(192, 0, 2, 10);
  spec.destination = IpAddress::v4(198, 51, 100, 7);
  for (const unsigned tos : {45U << 2, 0U}) {
    spec.tos = static_cast<uint8_t>(tos);
    ++spec.source_port;
    const auto frame = wire::build_frame(spec);
    std::string header(16, '\0');
    header[8] = header[12] = 40;
    bytes += header;
    for (size_t i = 14; i < 54; ++i) bytes += static_cast<char>(frame[i]);
  }
  EXPECT_THAT(counts(judge(scratch.write(bytes))), ElementsAre(1, 1, 0, 0, 0, 0));
}

}  // namespace
}  // namespace tails::fastpath
