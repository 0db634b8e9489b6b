#pragma once

#include <vector>

#include "net/descriptor.h"
#include "net/packet.h"
#include "net/result.h"

namespace tails::leaktest {

/// Local services of a namespace: TCP connections are taken by the backlog and never looked at; each datagram gets one
/// back that says `kAnswer`, once `answer` is called.
class Services {
 public:
  /// In the network namespace that the calling thread is in. TCP: at every address of the machine, IPv6 where the
  /// kernel has it. UDP: at that address; where it is not the machine's (a kernel without IPv6), there is none.
  /// Errors (kRefused): a port is taken, or needs privileges.
  static Result<Services> open(const std::vector<Port>& tcp, const std::vector<Endpoint>& udp);

  /// Those to wait for (POLLIN).
  [[nodiscard]] const std::vector<Descriptor>& udp() const { return udp_; }
  /// Answers what has come to one of them.
  static void answer(int udp_socket);

 private:
  std::vector<Descriptor> tcp_;
  std::vector<Descriptor> udp_;
};

}  // namespace tails::leaktest
