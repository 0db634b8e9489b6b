#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "leaktest/case.h"

namespace tails::leaktest {

/// How a program fared.
struct Fate {
  uint32_t id = 0;
  int32_t error = 0;  ///< 0: answered, or there is nothing to wait for; ETIMEDOUT: silence; else errno.
  bool is_answered = false;
};

/// Makes the attempts of one account side by side with real sockets, in the calling process's network namespace; never
/// longer than `patience` after the last was begun, and not that long for those that expect silence.
///
/// Raw sockets and foreign addresses need privileges: they are opened first, as the account by its file system user
/// (what the kernel's owner test reads: xt_owner, `f_cred->fsuid`). Then the process becomes the account for good.
/// Call it in a process of its own, as root. `tell` is called once per case.
/// False: the process could not become the account; nothing was told of what is left.
bool make_attempts(Uid user, const std::vector<const Case*>& cases, std::chrono::milliseconds patience,
                   const std::function<void(const Fate&)>& tell);

}  // namespace tails::leaktest
