#pragma once

#include <span>
#include <string_view>

#include "net/packet.h"
#include "ruleset/rule_set.h"

/// The tables that a packet traverses (netfilter's hooks and their priorities, linux/netfilter_ipv4.h).
namespace tails::ruleset {

struct Stop {
  TableName table;
  std::string_view chain;  ///< The built-in one.
};

/// In order.
std::span<const Stop> way_of(Hook hook);

/// Where the kernel rewrites destinations: by the nat table, or as it did when the flow was opened.
bool is_destination_nat(const Stop& stop);

}  // namespace tails::ruleset
