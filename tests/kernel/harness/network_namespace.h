#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/address.h"
#include "net/descriptor.h"
#include "net/result.h"

namespace tails::testbed {

/// A private network namespace without a name: only this object's descriptor (and what was opened inside) keeps it,
/// so nothing is left behind when a test fails or is killed. `lo` is up with 127.0.0.1 and ::1.
class NetworkNamespace {
 public:
  /// Fails without CAP_SYS_ADMIN.
  static Result<NetworkNamespace> create();

  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit NetworkNamespace(Descriptor fd) : fd_(std::move(fd)) {}
  Descriptor fd_;
};

/// While this object lives, the calling thread (sockets it opens, programs it starts, /proc/sys/net) is inside the
/// namespace; then it is where it was before. Nests. Aborts when the kernel refuses: to go on in the wrong
/// namespace could touch the machine's own rules.
class Inside {
 public:
  explicit Inside(const NetworkNamespace& target);
  ~Inside();
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Descriptor before_;
};

/// "net.ipv4.ip_forward" and a value, in the namespace the thread is in.
Result<void> set_sysctl(std::string_view name, std::string_view value);
Result<std::string> get_sysctl(std::string_view name);

/// Every address of every interface of the namespace the thread is in, by interface name.
std::vector<std::pair<std::string, IpAddress>> interface_addresses();

/// Whether this process may make network namespaces and raw sockets; empty: yes, else the reason why not.
std::string why_not_possible();

}  // namespace tails::testbed
