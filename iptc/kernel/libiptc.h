#pragma once

#include <functional>

#include "iptc/kernel/raw_table.h"
#include "net/result.h"

/// libiptc for either family. Its handles do not leave libiptc.cpp. Not thread-safe, as libiptc is not.
namespace tails::iptc::kernel {

/// Builds `wanted` in a libiptc handle on the live table, calls `may_commit`, and commits where that says yes.
/// Returns 0, or the errno of the call that failed; EAGAIN where `may_commit` said no or the number of entries
/// changed; EEXIST where an extension bears a chain's name (libiptc would make a jump of it); EINVAL where an entry
/// cannot be said to libiptc.
/// 0 does not prove that the rules are live and an errno does not prove that they are not: the last of libiptc's two
/// calls only adds counters.
int commit_by_libiptc(const RawTable& wanted, const std::function<int()>& may_commit);

}  // namespace tails::iptc::kernel
