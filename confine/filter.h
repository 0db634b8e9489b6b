#pragma once

#include "confine/rows.h"
#include "net/result.h"

namespace tails::confine {

/// From now on this process, and all that it starts, makes only the system calls of `calls` (seccomp(2)). Any other one
/// fails with EPERM. Needs no_new_privs. The process has one thread.
///
/// EPERM and not the end of the process: a run that dies between two tables leaves a guard and no message, one that is
/// refused takes its work back and says which step was not permitted. Whoever took the program over gains nothing by
/// going on, for the next call is refused as well. The kernel's audit log names each (type 1326, or `journalctl -k`).
/// Only a call of another architecture ends the process: no message of ours could follow it.
///
/// False: this kernel has no seccomp filters. Error (kRefused): it has, and would not; or no row has `calls`, so that
/// no filter was compiled for it.
Result<bool> allow_only(Calls calls);

}  // namespace tails::confine
