#pragma once

#include <string>
#include <string_view>

#include "iptc/kernel/kernel.h"
#include "tests/kernel/kernel_test.h"

/// The real tools beside us, in a private network namespace.
namespace tails::iptc {

/// A test in a private network namespace: both families, no rules.
class LiveTest : public testbed::KernelTest {
 protected:
  void SetUp() override;
  void TearDown() override;

  kernel::Kernel& kernel() { return *kernel_; }
  /// Another namespace, empty as well, from now on; and a new Kernel for it.
  void enter_fresh_namespace();

 private:
  std::unique_ptr<testbed::NetworkNamespace> namespace_;
  std::unique_ptr<testbed::Inside> inside_;
  std::unique_ptr<kernel::Kernel> kernel_;
};

/// Loads rules by iptables-legacy-restore or ip6tables-legacy-restore.
void restore(Family family, std::string_view text);
/// What iptables-legacy-save prints of one table, without comment lines; counters as in the tool (`-c` not given).
std::string save(Family family, std::string_view table);

}  // namespace tails::iptc
