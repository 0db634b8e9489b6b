#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ostream>
#include <string>

#include "tests/kernel/harness/agreement.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails {

/// How GoogleTest shows a packet.
inline void PrintTo(const Packet& packet, std::ostream* out) { *out << testbed::describe(packet); }

}  // namespace tails

namespace tails::testbed {

/// A test that needs root and network namespaces: fails in CI where it cannot have them, is skipped elsewhere.
class KernelTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string reason = why_not_possible();
    if (reason.empty()) return;
    if (std::getenv("CI") != nullptr) FAIL() << reason;
    GTEST_SKIP() << reason;
  }
};

/// Takes the value out of a Result, or fails the test with its error.
#define TAILS_ASSERT_OK(result) ASSERT_TRUE((result).has_value()) << (result).error().message

}  // namespace tails::testbed
