#include "tests/kernel/harness/network_namespace.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

Descriptor open_own_namespace() { return Descriptor(::open(kOwnNamespace, O_RDONLY | O_CLOEXEC)); }

[[noreturn]] void abort_with(const char* what) {
  std::perror(what);
  std::abort();
}

Result<void> bring_loopback_up() {
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return system_failure("socket");
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return system_failure("bring up lo");
  return {};
}

std::string sysctl_path(std::string_view name) {
  std::string path(name);
  std::replace(path.begin(), path.end(), '.', '/');
  return "/proc/sys/" + path;
}

}  // namespace

Result<NetworkNamespace> NetworkNamespace::create() {
  const Descriptor before = open_own_namespace();
  if (!before.is_open()) return system_failure(kOwnNamespace);
  if (::unshare(CLONE_NEWNET) != 0) return system_failure("unshare(CLONE_NEWNET)");
  Descriptor created = open_own_namespace();
  const int open_errno = errno;
  auto up = bring_loopback_up();
  if (::setns(before.get(), CLONE_NEWNET) != 0) abort_with("setns");
  if (!created.is_open()) {
    errno = open_errno;
    return system_failure(kOwnNamespace);
  }
  if (!up) return tl::unexpected(up.error());
  return NetworkNamespace(std::move(created));
}

Inside::Inside(const NetworkNamespace& target) : before_(open_own_namespace()) {
  if (!before_.is_open()) abort_with(kOwnNamespace);
  if (::setns(target.fd(), CLONE_NEWNET) != 0) abort_with("setns");
}

Inside::~Inside() {
  if (::setns(before_.get(), CLONE_NEWNET) != 0) abort_with("setns");
}

Result<void> set_sysctl(std::string_view name, std::string_view value) {
  const Descriptor file(::open(sysctl_path(name).c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.is_open()) return system_failure("open " + sysctl_path(name));
  if (::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) {
    return system_failure("write " + sysctl_path(name));
  }
  return {};
}

Result<std::string> get_sysctl(std::string_view name) {
  std::ifstream file(sysctl_path(name));
  std::string line;
  if (!std::getline(file, line)) return system_failure("read " + sysctl_path(name));
  return line;
}

std::vector<std::pair<std::string, IpAddress>> interface_addresses() {
  std::vector<std::pair<std::string, IpAddress>> addresses;
  ifaddrs* raw = nullptr;
  if (::getifaddrs(&raw) != 0) return addresses;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> list(raw, &::freeifaddrs);
  for (const ifaddrs* at = list.get(); at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    if (at->ifa_addr->sa_family == AF_INET) {
      sockaddr_in v4{};
      std::memcpy(&v4, at->ifa_addr, sizeof v4);
      addresses.emplace_back(at->ifa_name, IpAddress::from_wire(Family::kIpv4, &v4.sin_addr));
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 v6{};
      std::memcpy(&v6, at->ifa_addr, sizeof v6);
      addresses.emplace_back(at->ifa_name, IpAddress::from_wire(Family::kIpv6, &v6.sin6_addr));
    }
  }
  return addresses;
}

std::string why_not_possible() {
  const auto made = NetworkNamespace::create();
  if (!made) return "needs root and network namespaces: " + made.error().message;
  const Inside inside(*made);
  const Descriptor raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, 255));
  if (!raw.is_open()) return system_failure("raw socket").value().message;
  return {};
}

}  // namespace tails::testbed
