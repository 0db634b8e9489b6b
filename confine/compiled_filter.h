#pragma once

#include <linux/filter.h>

#include <span>

#include "confine/rows.h"

namespace tails::confine {

/// The seccomp filter (classic BPF over struct seccomp_data) that allows the calls of `calls` and no other, for the
/// processor that this program is built for. Empty where no row has that set. Written by compile_filters when the
/// program is built.
std::span<const sock_filter> compiled_filter(Calls calls);

}  // namespace tails::confine
