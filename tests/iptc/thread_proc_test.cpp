#include "iptc/kernel/thread_proc.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace tails::iptc::kernel {
namespace {

TEST(ThreadProc, IsTheProcesssWhereTheKernelHasNoThreadSelf) {
  const std::string proc = ::testing::TempDir() + "thread_proc_test";
  std::filesystem::remove_all(proc);
  std::filesystem::create_directories(proc + "/self");
  EXPECT_EQ(thread_proc(proc), proc + "/self");
  std::filesystem::create_directories(proc + "/thread-self");
  EXPECT_EQ(thread_proc(proc), proc + "/thread-self");
  std::filesystem::remove_all(proc);
}

}  // namespace
}  // namespace tails::iptc::kernel
