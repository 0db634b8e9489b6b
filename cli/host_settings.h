#pragma once

#include <optional>
#include <string>

#include "host/sysctl_audit.h"
#include "net/result.h"
#include "policy/policy.h"

namespace tails::cli {

/// `apply --host`: the [host] table of a policy, put in place before its rules and taken back where those fail.
class HostSettings {
 public:
  struct Wish {
    bool persist = false;  ///< Also for the next boots, in /etc/sysctl.d.
    bool dry_run = false;
  };
  /// Kernel parameters in their order, then /etc/resolv.conf where it is a file of its own (a link belongs to another
  /// program, and `status` says so). Error: the system refused, and what was written is taken back.
  static Result<HostSettings> put(const policy::Policy& policy, const Wish& wish);

  void take_back() const;
  /// " Set 6 kernel parameters, wrote /etc/resolv.conf."; empty where nothing was to be done.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  host::Settings before_;
  std::optional<std::string> resolv_conf_before_;
  std::string text_;
};

}  // namespace tails::cli
