#pragma once

#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "fastpath/dpdk/port_name.h"
#include "net/result.h"

namespace tails::fastpath::dpdk {

/// What EAL is told: the devices, and what the person did not say behind "--": one core, huge pages where the machine
/// has some to give (else none), warnings only. Reads /sys for the huge pages.
struct EalArguments {
  std::vector<std::string> words;  ///< Without the program's name.
  bool has_huge_pages = false;
};
EalArguments eal_arguments(const std::vector<PortName>& ports, const std::vector<std::string>& given,
                           bool is_talkative);

/// DPDK's environment: a process has one, once in its life. Moves only; ports, pools and classifiers go before it.
class Eal {
 public:
  /// Makes the calling thread the main lcore and binds it to that core. Fails with kRefused where memory or a device
  /// cannot be had, kUsage for arguments that EAL does not know.
  static Result<Eal> start(const std::vector<std::string>& arguments);

  /// Lets the calling thread run on every core that the process had before. For threads beside the lcores.
  void leave_core() const;

 private:
  struct Running;
  explicit Eal(std::shared_ptr<Running> running) : running_(std::move(running)) {}
  std::shared_ptr<Running> running_;
};

}  // namespace tails::fastpath::dpdk
