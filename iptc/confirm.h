#pragma once

#include <string>

#include "iptc/transaction.h"

namespace tails::iptc {

/// Keeps what `commit` with `confirm_within` put in force: ends the process that would bring the state before back.
/// Error (kRejected): nothing waits to be confirmed.
Result<void> confirm(System system, const std::string& run_directory = "/run/tails-iptc");

}  // namespace tails::iptc
