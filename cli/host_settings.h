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

  /// Everything as it was before `put`. Error: the first thing that could not be; the rest was.
  Result<void> take_back() const;
  /// " Set 6 kernel parameters, wrote /etc/resolv.conf."; empty where nothing was to be done.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  host::Settings before_;
  std::optional<std::string> resolv_conf_before_;
  bool made_persistent_ = false;
  std::optional<std::string> persistent_before_;  ///< Empty: there was no such file.
  std::string text_;
};

/// For add_remains, where `take_back` failed.
std::string settings_remain(const Error& why);

}  // namespace tails::cli
