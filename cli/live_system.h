#pragma once

#include <memory>

#include "iptc/transaction.h"

namespace tails::cli {

/// The running kernel, in the network namespace that we are in, and the system's files.
class LiveSystem {
 public:
  LiveSystem() : kernel_(iptc::kernel::running_kernel()), files_(iptc::system_files()) {}
  [[nodiscard]] iptc::System get() const { return {*kernel_, *files_}; }
  [[nodiscard]] Result<bool> has_ipv6() const { return kernel_->has_ipv6(); }

 private:
  std::unique_ptr<iptc::kernel::Kernel> kernel_;
  std::unique_ptr<iptc::Files> files_;
};

}  // namespace tails::cli
