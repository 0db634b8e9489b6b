#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "iptc/kernel/kernel.h"

namespace tails::iptc {

/// A kernel without rules, and whatever must live as long as it.
struct KernelUnderTest {
  std::shared_ptr<void> surroundings;
  std::unique_ptr<kernel::Kernel> kernel;
};

/// One implementation of Kernel. An empty kernel is why it cannot be had here: the test is skipped, or fails in CI.
struct KernelMaker {
  std::string name;
  std::function<KernelUnderTest(std::string& why_not)> make;
};
inline void PrintTo(const KernelMaker& maker, std::ostream* out) { *out << maker.name; }

/// What every Kernel must do. Instantiated once for each implementation.
class KernelContract : public ::testing::TestWithParam<KernelMaker> {
 protected:
  void SetUp() override;
  kernel::Kernel& kernel() { return *under_test_.kernel; }
  kernel::RawTable read(Family family, std::string_view table);

 private:
  KernelUnderTest under_test_;
};

}  // namespace tails::iptc
