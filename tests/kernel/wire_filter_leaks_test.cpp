// What comes through the filter on the wire, and what does not.
#include "tests/kernel/wire_filter.h"

#include "tests/kernel/harness/as_user.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/profile.h"

namespace tails::testbed {
namespace {

class WireFilterLeaks : public WireFilter {};

TEST_P(WireFilterLeaks, RealUsersGetExactlyWhatThePolicyGrants) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(start_filter());
  expect_what_the_policy_grants();
  // A whole conversation.
  std::optional<Descriptor> listener;
  {
    const Inside inside(*network_);
    auto made = listen_tcp({kInternet, 443});
    TAILS_ASSERT_OK(made);
    listener = std::move(*made);
  }
  const Inside inside(*machine_);
  const auto said = as_user(uid::kTor, [] {
    const auto socket = open_socket(Family::kIpv4, SOCK_STREAM);
    const int connected = connect_tcp(socket->get(), {kInternet, 443}, kPatience);
    return errno_name(connected);
  });
  TAILS_ASSERT_OK(said);
  EXPECT_EQ(*said, "0");
  EXPECT_TRUE(wait_readable(listener->get(), kPatience));
}

TEST_P(WireFilterLeaks, WithoutTheKernelsRulesItLetsNoLeakThroughByItself) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(open_the_kernel());
  ASSERT_NO_FATAL_FAILURE(start_filter());
  expect_what_the_policy_grants();
  expect_no_leak_of_raw_frames();
  // They did come before the filter, each to be dropped for its own reason.
  EXPECT_EQ(filter_->end(SIGTERM), 0) << content(err());
  const std::string said = content(out());
  for (const char* reason : {"ipv6", "not_ip", "vlan", "ip_checksum", "unknown_tag"}) {
    EXPECT_NE(said.find(std::string("drop     ") + reason), std::string::npos) << reason << "\n" << said;
  }
}

TEST_P(WireFilterLeaks, AProgramThatSetsTheTagItselfGainsNothing) {
  ASSERT_NO_FATAL_FAILURE(apply());
  ASSERT_NO_FATAL_FAILURE(open_the_kernel());
  ASSERT_NO_FATAL_FAILURE(start_filter());
  constexpr unsigned kTorsTag = 45, kClearnetsTag = 46;
  expect_what_the_policy_grants(kTorsTag << 2);
  expect_what_the_policy_grants(kClearnetsTag << 2);
}

INSTANTIATE_TEST_SUITE_P(AfPacket, WireFilterLeaks, ::testing::Values("af_packet"));
INSTANTIATE_TEST_SUITE_P(AfXdp, WireFilterLeaks, ::testing::Values("af_xdp"));

}  // namespace
}  // namespace tails::testbed
