#pragma once

#include <memory>

#include "fastpath/classifier.h"

namespace tails::fastpath::dpdk {

/// The way as an rte_acl context: what the destination asks for is looked up first, then column, ports and source are
/// given to rte_acl. Serves rules that look at sources, and as a judge of the other structures. EAL is up; not
/// thread-safe while it is made. Nullptr where rte_acl does not take it, or it would need over 20,000 of its rules.
std::unique_ptr<Classifier> make_acl(const Way& way);

}  // namespace tails::fastpath::dpdk
