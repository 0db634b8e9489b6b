#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/kernel_test.h"
#include "tests/kernel/tails_iptc.h"

namespace tails::testbed {

/// A machine with the guests of the profile `tails`; the test is inside it.
class TailsMachine : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto bed = Testbed::build(tails_guests());
    TAILS_ASSERT_OK(bed);
    bed_.emplace(std::move(*bed));
    inside_.emplace(bed_->host);
  }

  static void apply(const std::string& policy, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"--policy", policy, "apply"};
    words.insert(words.end(), more.begin(), more.end());
    const auto applied = tails_iptc(std::move(words));
    TAILS_ASSERT_OK(applied);
    ASSERT_EQ(applied->status, 0) << applied->err;
  }

  std::optional<Testbed> bed_;
  std::optional<Inside> inside_;
};

}  // namespace tails::testbed
