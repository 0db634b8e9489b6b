#include "tests/iptc/live_tables.h"

#include <sstream>

#include "tests/kernel/harness/program.h"

namespace tails::iptc {

void LiveTest::SetUp() {
  KernelTest::SetUp();
  if (!IsSkipped() && !HasFatalFailure()) enter_fresh_namespace();
}

void LiveTest::TearDown() {
  kernel_.reset();
  inside_.reset();
  namespace_.reset();
}

void LiveTest::enter_fresh_namespace() {
  TearDown();
  auto created = testbed::NetworkNamespace::create();
  TAILS_ASSERT_OK(created);
  namespace_ = std::make_unique<testbed::NetworkNamespace>(*std::move(created));
  inside_ = std::make_unique<testbed::Inside>(*namespace_);
  kernel_ = kernel::running_kernel();
}

void restore(Family family, std::string_view text) {
  const std::string tool = family == Family::kIpv4 ? "iptables-legacy-restore" : "ip6tables-legacy-restore";
  testbed::Launch launch;
  launch.arguments = {tool, "-c"};
  launch.input = text;
  launch.has_private_run = true;
  const auto done = testbed::run_checked(launch);
  TAILS_ASSERT_OK(done);
}

std::string save(Family family, std::string_view table) {
  const std::string tool = family == Family::kIpv4 ? "iptables-legacy-save" : "ip6tables-legacy-save";
  testbed::Launch launch;
  launch.arguments = {tool, "-t", std::string(table)};
  launch.has_private_run = true;
  const auto done = testbed::run_checked(launch);
  EXPECT_TRUE(done.has_value()) << done.error().message;
  std::istringstream lines(done.value_or(""));
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) text += line + "\n";
  }
  return text;
}

}  // namespace tails::iptc
