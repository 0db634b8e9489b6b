#pragma once

#include <string>

namespace tails::iptc::kernel {

/// Where the calling thread's own `net` and `ns` stand: `proc`/thread-self, or, before Linux 3.17, which has no such
/// thing, `proc`/self. There the answer is the first thread's: a program that changes the namespace of one thread only
/// must not ask so.
std::string thread_proc(const std::string& proc = "/proc");

}  // namespace tails::iptc::kernel
