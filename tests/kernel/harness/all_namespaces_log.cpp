#include "tests/kernel/harness/all_namespaces_log.h"

#include <fcntl.h>
#include <sys/file.h>

#include "tests/kernel/harness/failure.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::testbed {
namespace {

constexpr const char* kSetting = "net.netfilter.nf_log_all_netns";

}  // namespace

Result<AllNamespacesLog> AllNamespacesLog::begin() {
  const Descriptor log(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!log.is_open()) return system_failure("cannot open /dev/kmsg");
  Descriptor lock(::open("/tmp/tails-iptc-tests.kernel-log", O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.is_open() || ::flock(lock.get(), LOCK_EX) != 0) return system_failure("cannot lock the kernel's log");
  auto before = get_sysctl(kSetting);
  if (!before) return tl::unexpected(before.error());
  if (auto set = set_sysctl(kSetting, "1"); !set) return tl::unexpected(set.error());
  return AllNamespacesLog(std::move(lock), std::move(*before));
}

AllNamespacesLog::~AllNamespacesLog() {
  if (lock_.is_open()) static_cast<void>(set_sysctl(kSetting, before_).has_value());
}

}  // namespace tails::testbed
