#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "net/address.h"
#include "net/descriptor.h"
#include "net/result.h"
#include "ruleset/rule_set.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::testbed {

/// Packets that the rules of one chain counted, in order; a built-in chain's policy comes last.
using ChainCounts = std::vector<uint64_t>;

/// Reads a live table's counters straight from the kernel, about 30 microseconds each time. It shares no code with
/// iptc/, which it helps to judge.
class RuleCounters {
 public:
  static Result<RuleCounters> open(const NetworkNamespace& where);

  /// By chain name. For a user chain the counts end with its implicit return, which no tool shows.
  Result<std::map<std::string, ChainCounts>> read(Family family, ruleset::TableName table);

 private:
  RuleCounters(Descriptor v4, Descriptor v6) : v4_(std::move(v4)), v6_(std::move(v6)) {}
  Descriptor v4_;
  Descriptor v6_;
};

}  // namespace tails::testbed
