#pragma once

#include <cstdint>

#include "iptc/kernel/kernel.h"
#include "net/result.h"

namespace tails::iptc::kernel {

/// Kernel::namespace_id, for whoever cannot do without it. kRefused, with the errno, where it is unknown.
Result<uint64_t> known_namespace_id(Kernel& kernel);

}  // namespace tails::iptc::kernel
