#include "fastpath/cost_model.h"

#include <algorithm>

#include "fastpath/class_table.h"
#include "fastpath/line_blocks.h"
#include "fastpath/scan.h"

namespace tails::fastpath {
namespace {

using Structure = Classifier::Structure;

/// A table over this size is not made: filling it would take longer than the filter may wait for its rules.
constexpr size_t kMaxTableBytes = size_t{16} << 20;
constexpr size_t kMaxBlockBytes = size_t{64} << 20;

/// What a random access costs more than one in the nearest cache, in a burst of independent ones.
double miss_nanoseconds(size_t bytes) {
  if (bytes <= size_t{32} << 10) return 0;
  if (bytes <= size_t{1} << 20) return 1.5;
  return bytes <= size_t{4} << 20 ? 5 : 14;
}

double index_nanoseconds(const Way& way) { return way.starts.size() <= 33 ? 2.5 : 6; }

/// Lines that are compared until one matches, if every list and every line is as likely as the others.
double mean_blocks(const Way& way) {
  const double blocks = static_cast<double>(LineBlocks::block_count(way)) / static_cast<double>(way.lists.size());
  return 1 + (blocks - 1) / 2;
}

}  // namespace

std::string_view to_string(Structure structure) {
  switch (structure) {
    case Structure::kClassTable: return "class table";
    case Structure::kLineBlocks: return "line blocks";
    case Structure::kAcl: return "rte_acl";
    case Structure::kScan: return "scan";
  }
  return "";
}

std::vector<Cost> costs(const Way& way, bool has_acl) {
  std::vector<Cost> all;
  if (!way.looks_at_source && way.lists.size() <= 65535) {
    const size_t table_bytes = ClassTable::table_bytes(way);
    if (table_bytes <= kMaxTableBytes) {
      all.push_back({Structure::kClassTable, index_nanoseconds(way) + 3 + miss_nanoseconds(table_bytes), table_bytes});
    }
  }
  const size_t bytes = LineBlocks::block_count(way) * 64;
  if (!way.looks_at_source && way.lists.size() <= 65535 && bytes <= kMaxBlockBytes) {
    all.push_back(
        {Structure::kLineBlocks, index_nanoseconds(way) + 3 * mean_blocks(way) + miss_nanoseconds(bytes), bytes});
  }
  if (has_acl) all.push_back({Structure::kAcl, 75, 0});
  if (all.empty()) {
    size_t lines = 0;
    for (const auto& list : way.lists) lines += list.size();
    all.push_back({Structure::kScan, 4 * static_cast<double>(lines) / static_cast<double>(way.lists.size()), 0});
  }
  std::ranges::stable_sort(all, {}, &Cost::nanoseconds);
  return all;
}

std::unique_ptr<Classifier> make_classifier(const Way& way, Structure structure, const AclMaker& acl, Loops loops) {
  switch (structure) {
    case Structure::kClassTable: return ClassTable::make(way, kMaxTableBytes, loops);
    case Structure::kLineBlocks: return LineBlocks::make(way, kMaxBlockBytes, loops);
    case Structure::kAcl: return acl ? acl(way) : nullptr;
    case Structure::kScan: return std::make_unique<Scan>(way);
  }
  return nullptr;
}

std::unique_ptr<Classifier> make_classifier(const Way& way, const AclMaker& acl) {
  for (const Cost& cost : costs(way, static_cast<bool>(acl))) {
    if (auto made = make_classifier(way, cost.structure, acl)) return made;
  }
  return std::make_unique<Scan>(way);
}

}  // namespace tails::fastpath
