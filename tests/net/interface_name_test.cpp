#include "net/interface_name.h"

#include <gtest/gtest.h>

#include <string>

namespace tails {
namespace {

TEST(InterfaceName, TakesWhatTheKernelTakes) {
  for (const std::string& name : {std::string("a"), std::string("lo"), std::string("eth0.100"), std::string("veth-tbb"),
                                  std::string("a23456789012345"), std::string("..."), std::string("+"),
                                  std::string("\xC3\xA5"), std::string("!")}) {
    const auto made = InterfaceName::make(name);
    ASSERT_TRUE(made) << name;
    EXPECT_EQ(made->view(), name);
    EXPECT_FALSE(made->empty());
  }
}

TEST(InterfaceName, RefusesWhatTheKernelRefuses) {
  for (const std::string& name :
       {std::string(), std::string("a234567890123456"), std::string("."), std::string(".."), std::string("a/b"),
        std::string("a:b"), std::string("a b"), std::string("a\tb"), std::string("a\nb"), std::string("a\vb"),
        std::string("a\fb"), std::string("a\rb"), std::string("a\0b", 3), std::string(1, '\0')}) {
    EXPECT_FALSE(InterfaceName::make(name)) << name;
  }
}

TEST(InterfaceName, OnlyLoIsLoopback) {
  EXPECT_TRUE(kLoopbackInterface.is_loopback());
  EXPECT_FALSE(InterfaceName::make("lo0")->is_loopback());
  EXPECT_FALSE(InterfaceName::make("l")->is_loopback());
  EXPECT_FALSE(InterfaceName().is_loopback());
}

TEST(InterfaceName, TheDefaultIsEmptyAndEqualsNothingElse) {
  EXPECT_TRUE(InterfaceName().empty());
  EXPECT_NE(InterfaceName(), kLoopbackInterface);
  EXPECT_EQ(*InterfaceName::make("lo"), kLoopbackInterface);
  EXPECT_LT(*InterfaceName::make("eth0"), *InterfaceName::make("eth1"));
}

}  // namespace
}  // namespace tails
