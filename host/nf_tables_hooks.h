#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "host/finding.h"

namespace tails::host {

/// The tables of nf_tables whose chains hang on a hook, put together from what the kernel lists
/// (linux/netfilter/nf_tables.h). Messages of another type, and those that are cut short, say nothing; one that comes
/// twice counts once. Pure.
class NfTablesHooks {
 public:
  /// NFT_MSG_NEWCHAIN.
  void take_chain(const nlmsghdr& message);
  /// NFT_MSG_NEWRULE.
  void take_rule(const nlmsghdr& message);

  [[nodiscard]] bool empty() const { return chains_.empty(); }
  /// One for each table, in order of family and name.
  [[nodiscard]] Findings findings() const;

 private:
  using TableName = std::pair<uint8_t, std::string>;  ///< NFPROTO_*, name
  std::map<TableName, std::set<std::string>> chains_;
  std::map<TableName, std::set<uint64_t>> rules_;  ///< Handles.
};

}  // namespace tails::host
