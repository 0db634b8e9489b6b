#pragma once

#include <sys/socket.h>

#include <optional>
#include <string_view>
#include <vector>

#include "conntrack/flow.h"
#include "conntrack/removal.h"
#include "ruleset/rule_set.h"
#include "tests/kernel/harness/sockets.h"
#include "tests/kernel/harness/testbed.h"
#include "tests/kernel/kernel_test.h"

namespace tails::conntrack {

inline constexpr Uid kAmnesia{1000};
inline constexpr Uid kTor{107};
inline constexpr Uid kClearnet{110};

/// The testbed with the guests of the profile `tails`, the calling thread inside the host. Its rules let everything
/// pass, but track it: conntrack works in a namespace only where a rule needs it.
class FlowTest : public testbed::KernelTest {
 protected:
  void SetUp() override;

  /// Replaces the tables that `rules` names.
  static void load_text(std::string_view rules, const char* tool = "iptables-legacy-restore");
  static void load(const ruleset::RuleSet& rules);
  static void load_open();

  /// A TCP connection and its far end.
  struct Connection {
    Descriptor near;
    Descriptor far;
    [[nodiscard]] int error() const { return pending_error(near); }
    /// Whether something sent arrives.
    [[nodiscard]] bool passes() const;
  };
  /// From where the calling thread is, as `owner`.
  static Connection connect(Uid owner, const Endpoint& to, const Descriptor& listener);
  [[nodiscard]] Descriptor listen_outside(const Endpoint& at) const;
  /// A connected UDP socket that has sent something.
  static Descriptor connected_udp(Uid owner, const Endpoint& to);
  /// The error that the program's next call fails with, 0: it would wait or succeed.
  static int pending_error(const Descriptor& socket);

  /// What `apply` does at its end: remove_flows of what `rules` forbid.
  static Result<RemovalReport> remove_revoked(const ruleset::RuleSet& rules);

  static std::vector<Flow> flows(const FlowFilter& filter = {});
  static bool has_flow_to(const Endpoint& to);

  std::optional<testbed::Testbed> bed_;
  std::optional<testbed::Inside> inside_;
  const ruleset::RuleSet rules_ = tails_rules();
  /// What a program gets whose socket was ended: ECONNABORTED, or 0 on a kernel without CONFIG_INET_DIAG_DESTROY
  /// (user-mode-linux; Debian's has it), where programs are cut off without being told.
  int told_ = 0;

 private:
  static ruleset::RuleSet tails_rules();
  static bool kernel_ends_sockets();
};

}  // namespace tails::conntrack
