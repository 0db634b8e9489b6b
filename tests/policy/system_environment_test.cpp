// This machine, asked for what every machine has.
#include "policy/system_environment.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tails::testing {
namespace {

TEST(SystemEnvironment, KnowsRoot) {
  const policy::SystemEnvironment machine;
  EXPECT_EQ(**machine.user("root"), Uid{0});
  const auto names = machine.user_names();
  EXPECT_NE(std::ranges::find(names, "root"), names.end());
}

TEST(SystemEnvironment, KnowsNobodyOfAnUnusedName) {
  const auto user = policy::SystemEnvironment().user("no-such-user-of-tails-iptc");
  ASSERT_TRUE(user);
  EXPECT_FALSE(*user);
}

TEST(SystemEnvironment, TellsPathsApart) {
  const policy::SystemEnvironment machine;
  EXPECT_TRUE(machine.path_exists("/"));
  EXPECT_FALSE(machine.path_exists("/no/such/path"));
}

TEST(SystemEnvironment, SeesTheLoopbackNetwork) {
  const auto networks = policy::SystemEnvironment().networks();
  ASSERT_TRUE(networks);
  EXPECT_TRUE(std::ranges::any_of(*networks, [](const auto& network) {
    return network.interface.is_loopback() && network.network == kLoopbackNetV4;
  }));
}

}  // namespace
}  // namespace tails::testing
