#pragma once

#include <string>

#include "net/descriptor.h"
#include "net/result.h"

namespace tails::testbed {

/// While this object lives, what rules log in any network namespace reaches the kernel's messages; else only the first
/// namespace's does (net.netfilter.nf_log_all_netns). The setting is the whole machine's: one test at a time has it,
/// and it is put back. Make and end it in the first namespace.
class AllNamespacesLog {
 public:
  /// Fails where the kernel's messages cannot be read, or the setting is not there to be changed.
  static Result<AllNamespacesLog> begin();
  AllNamespacesLog(AllNamespacesLog&&) noexcept = default;
  AllNamespacesLog& operator=(AllNamespacesLog&&) = delete;
  ~AllNamespacesLog();

 private:
  AllNamespacesLog(Descriptor lock, std::string before) : lock_(std::move(lock)), before_(std::move(before)) {}
  Descriptor lock_;
  std::string before_;
};

}  // namespace tails::testbed
