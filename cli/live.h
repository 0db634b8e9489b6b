#pragma once

#include "iptc/transaction.h"
#include "net/result.h"

namespace tails::cli {

/// The rules in force in this network namespace.
Result<iptc::Live> read_live_rules();

}  // namespace tails::cli
