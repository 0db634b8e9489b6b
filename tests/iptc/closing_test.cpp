#include "iptc/closing.h"

#include <gtest/gtest.h>

#include "iptc/kernel/memory_kernel.h"
#include "policy/lower.h"
#include "tests/iptc/faults.h"
#include "tests/iptc/states.h"

namespace tails::iptc {
namespace {

using kernel::Capabilities;
using kernel::ExtensionKind;
using ruleset::TableName;

bool drops_all(kernel::Kernel& kernel, Family family) {
  const auto table = kernel.read(family, "filter");
  return table && kernel::same_rules(*table, bare_lockdown(family));
}

bool has_lockdown(kernel::Kernel& kernel, Family family) {
  const ruleset::RuleSet live = read_all(kernel);
  const ruleset::RuleSet lockdown = policy::lockdown();
  const ruleset::Table* const table = live.find(family, TableName::kFilter);
  return table != nullptr && table->says_the_same(*lockdown.find(family, TableName::kFilter));
}

TEST(Closing, PutsTheRulesInForceAndDoesNothingWhereTheyAre) {
  kernel::MemoryKernel kernel;
  ASSERT_TRUE(close_all(kernel, policy::lockdown()));
  EXPECT_TRUE(has_lockdown(kernel, Family::kIpv4));
  EXPECT_TRUE(has_lockdown(kernel, Family::kIpv6));
  EXPECT_EQ(kernel.replacements(), 2U);
  ASSERT_TRUE(close_all(kernel, policy::lockdown()));
  EXPECT_EQ(kernel.replacements(), 2U);
}

TEST(Closing, DropsAllWhereTheRulesAreMissingOrTheKernelCannotTakeThem) {
  kernel::MemoryKernel kernel;
  ASSERT_TRUE(close_all(kernel, {}));
  EXPECT_TRUE(drops_all(kernel, Family::kIpv4));
  EXPECT_TRUE(drops_all(kernel, Family::kIpv6));
  kernel::MemoryKernel poor(Capabilities::everything()
                                .without(Family::kIpv4, ExtensionKind::kMatch, "state")
                                .without(Family::kIpv4, ExtensionKind::kMatch, "conntrack"));
  ASSERT_TRUE(close_all(poor, policy::lockdown()));
  EXPECT_TRUE(drops_all(poor, Family::kIpv4));
  EXPECT_TRUE(has_lockdown(poor, Family::kIpv6)) << "which this kernel takes";
}

TEST(Closing, ClosesIpv6AlsoWhereItCannotBeToldWhetherThereIsSuchAThing) {
  kernel::MemoryKernel kernel;
  FaultClock clock(Fault{0, Fault::Kind::kFailBefore, EMFILE, false});
  FaultyKernel faulty(kernel, clock);
  ASSERT_TRUE(close_all(faulty, policy::lockdown()));
  EXPECT_TRUE(has_lockdown(kernel, Family::kIpv6));
  Capabilities old = Capabilities::everything();
  old.ipv6 = false;
  kernel::MemoryKernel without(old);
  ASSERT_TRUE(close_all(without, policy::lockdown()));
  EXPECT_TRUE(has_lockdown(without, Family::kIpv4));
}

TEST(Closing, OneFamilyIsClosedWhereTheOtherCannotBe) {
  for (const Family lacking : {Family::kIpv4, Family::kIpv6}) {
    const Family other = lacking == Family::kIpv4 ? Family::kIpv6 : Family::kIpv4;
    kernel::MemoryKernel kernel(Capabilities::everything().without_table(lacking, "filter"));
    const auto closed = close_all(kernel, policy::lockdown());
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().kind, ErrorKind::kRefused);
    EXPECT_TRUE(drops_all(kernel, other) || has_lockdown(kernel, other));
  }
}

TEST(Closing, OutlastsAProgramThatChangesTheRulesAFewTimesAndNamesOneThatNeverStops) {
  kernel::MemoryKernel kernel;
  int edits = 0;
  int most = 5;
  kernel.between_compare_and_commit = [&](kernel::MemoryKernel& inner) {
    if (++edits > most) return;
    auto table = *inner.read(Family::kIpv4, "filter");
    table.chains.push_back({"x" + std::to_string(edits), std::nullopt, 0, 0, 0, 0});
    inner.edit(table);
  };
  ASSERT_TRUE(close_all(kernel, {}));
  EXPECT_TRUE(drops_all(kernel, Family::kIpv4));
  EXPECT_GT(edits, 5);

  most = 1'000'000;
  kernel.edit(*kernel::MemoryKernel().read(Family::kIpv4, "filter"));
  const auto closed = close_all(kernel, {});
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().message,
            "cannot replace table \"filter\" of IPv4: another program changed it meanwhile (EAGAIN)");
}

}  // namespace
}  // namespace tails::iptc
