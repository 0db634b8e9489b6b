#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/live_system.h"
#include "cli/transaction_report.h"
#include "host/guest.h"
#include "policy/environment.h"
#include "policy/policy.h"

/// The network namespaces that a policy declares, as the machine has them: what `netns` works with.
namespace tails::cli {

/// The policy whose namespaces are meant: the one in force, as `reconfigure` finds it.
struct GuestPolicy {
  policy::Policy policy;
  GlobalOptions global;      ///< With the accounts that `apply` was told.
  bool is_in_force = false;  ///< The host's filter is ours (docs/host.md: guests come up behind a filter only).
  std::string forwarding_note;
};
Result<GuestPolicy> load_guest_policy(const LiveSystem& system, const GlobalOptions& global,
                                      const policy::Environment& environment);

/// What host/ needs to know of a namespace.
host::Guest guest_of(const policy::Namespace& space);
std::vector<host::Guest> guests_of(const policy::Policy& policy);

/// The namespaces that `names` name, in the policy's order; all of them where `names` is empty. kUsage with the nearest
/// name for one that the policy does not declare.
Result<std::vector<const policy::Namespace*>> choose_namespaces(const policy::Policy& policy,
                                                                const std::vector<std::string>& names);

/// One namespace as it is now.
struct GuestReport {
  const policy::Namespace* space = nullptr;
  host::GuestState state = host::GuestState::kAbsent;
  std::optional<bool> rules_as_wanted;  ///< Absent where there is no namespace to look into.
};
Result<GuestReport> examine(const policy::Namespace& space);

/// Brings all of them up, rules and forwarding included. A failure takes down again what this call made.
Result<void> bring_up(const std::vector<const policy::Namespace*>& spaces, const GuestPolicy& guests);

/// Takes them down, and forwarding with the last one that needs it. A name in `spaces` that is not up is fine.
Result<void> take_down(const std::vector<host::Guest>& doomed, const GuestPolicy& guests);

/// `{"namespaces":[{"name":…,"state":"up|partial|absent","interface":…,"host":…,"guest":…,"internet":…,
/// "services":[…],"rules_as_wanted":true|false|null}]}`, with a newline at its end.
std::string guests_json(const std::vector<GuestReport>& reports);

/// "Up: tbb, clearnet.  3.2 ms", `done` being "Up:"; or that `policy` declares none. With a newline at its end.
std::string guests_line(std::string_view done, const std::vector<std::string_view>& names, const policy::Policy& policy,
                        Milliseconds time, const Screen& screen);

/// "up", "half-made", "not there".
std::string_view in_words(host::GuestState state);

}  // namespace tails::cli
