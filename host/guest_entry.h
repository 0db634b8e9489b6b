#pragma once

#include <string>
#include <vector>

#include "net/ids.h"
#include "net/result.h"

/// How a process becomes a program inside a guest. Every step changes the calling process for good, so this is for a
/// process that will be that program. Errors are of kind kRefused with errno.
namespace tails::host {

/// Who a program runs as.
struct Account {
  Uid uid;
  Gid gid;
  std::vector<Gid> groups;  ///< All of them, `gid` included.
  std::string name;         ///< Empty, like the two below, where the user database does not know the number.
  std::string home;
  std::string shell;
};

/// The account behind a number, from the user and group databases. A number that they do not know (pinned for this run)
/// is an account with the group of the same number and no other.
Result<Account> find_account(Uid uid);

/// Moves the calling process into the network namespace behind `namespace_descriptor`.
Result<void> enter_network(int namespace_descriptor);

/// From now on this process sees `file` where /etc/resolv.conf was: in a mount namespace of its own, in which later
/// mounts of the machine still arrive but from which none goes out. `file` is bind-mounted, so what is written into it
/// later is seen as well. A file that is missing is made, empty, mode 0644.
Result<void> use_resolver_file(const std::string& file);

/// Takes on the account's user, its groups and nobody else's, drops every capability unless the user is root, and sets
/// HOME, USER, LOGNAME and SHELL where they are known.
Result<void> become(const Account& account);

}  // namespace tails::host
