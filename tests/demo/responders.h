#pragma once

#include <sys/types.h>

#include <span>

#include "net/packet.h"
#include "net/result.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::demo {

/// A process that answers at some addresses of one namespace until this object goes: TCP connections are taken, every
/// datagram gets one back. Move-only.
class Responders {
 public:
  static Result<Responders> start(const testbed::NetworkNamespace& where, std::span<const Endpoint> tcp,
                                  std::span<const Endpoint> udp);
  Responders(Responders&& other) noexcept;
  Responders& operator=(Responders&&) = delete;
  Responders(const Responders&) = delete;
  Responders& operator=(const Responders&) = delete;
  ~Responders();

 private:
  explicit Responders(pid_t process) : process_(process) {}
  pid_t process_;
};

}  // namespace tails::demo
