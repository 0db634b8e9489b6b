#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "fastpath/classifier.h"
#include "fastpath/loops.h"

namespace tails::fastpath {

/// What a structure would cost for a way.
struct Cost {
  Classifier::Structure structure = Classifier::Structure::kScan;
  double nanoseconds = 0;  ///< Per packet, estimated.
  size_t bytes = 0;
};

/// Builds an rte_acl classifier; nullptr where that fails. Given by who has DPDK.
using AclMaker = std::function<std::unique_ptr<Classifier>(const Way&)>;

/// Every structure that can hold the way, cheapest first. The figures behind it are measured, see docs/performance.md.
/// rte_acl is among them where `has_acl`; a scan only where nothing else is.
std::vector<Cost> costs(const Way& way, bool has_acl);

/// The cheapest classifier that can be built. Never nullptr.
std::unique_ptr<Classifier> make_classifier(const Way& way, const AclMaker& acl = {});

/// That structure; nullptr where it cannot hold the way. `loops`: of those that have several.
std::unique_ptr<Classifier> make_classifier(const Way& way, Classifier::Structure structure, const AclMaker& acl = {},
                                            Loops loops = best_loops());

}  // namespace tails::fastpath
