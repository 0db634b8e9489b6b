#pragma once

#include <map>
#include <string>
#include <vector>

#include "iptc/kernel/kernel.h"
#include "net/result.h"

namespace tails::faults {

/// Whatever a command may change of a machine, to be compared and put back. It is of the network namespace and the
/// mounts that the calling thread is in.
struct MachineState {
  /// filter of both families and nat of IPv4, where they are: "IPv6 filter", "IPv4 filter", "IPv4 nat"; those in
  /// network namespaces with a name: "tbb IPv4 filter".
  std::map<std::string, iptc::kernel::RawTable> tables;
  /// What, locks aside, lies in /run and in those files of /etc that the program writes ("file /run/…": permissions and
  /// content; folders end in '/'), kernel parameters of the network
  /// ("sysctl …"), names of network namespaces ("namespace …"), interfaces with state and addresses ("interface …"),
  /// tracked flows ("flow …").
  std::map<std::string, std::string> values;
};

/// Reads all of it. Errors: what cannot be read.
Result<MachineState> look_at_machine();

/// Puts all of it back, but for flows and what is inside namespaces with a name: those are made anew by whoever made
/// them. /run must be a mount of the caller's own. Takes no lock.
Result<void> put_machine_back(const MachineState& state);

/// Whether a value says the same in both states: the record, numbers of processes and times are of no account.
bool same_value(const std::string& name, const std::string& a, const std::string& b);

/// The names of what differs, values of both kinds; empty: the same.
std::vector<std::string> differences(const MachineState& a, const MachineState& b);

/// A filter chain of the machine itself (not of a namespace with a name) accepts what no rule speaks of.
bool is_open(const MachineState& state);
/// Every filter chain of the machine itself drops what no rule speaks of.
bool is_closed(const MachineState& state);

}  // namespace tails::faults
