#pragma once

#include <map>
#include <string>
#include <vector>

#include "iptc/kernel/raw_table.h"
#include "ruleset/rule_set.h"

/// What can be said of a table without following a packet: enough to order the commits of a transaction. Pure.
namespace tails::iptc {

/// Tests that must all hold; `matches` says nothing of the connection state.
struct Conjunction {
  ruleset::HeaderTest header;
  std::vector<ruleset::Match> matches;
};

struct TableFacts {
  /// It lets every packet through: no policy but ACCEPT, and no target that could stop a packet.
  bool accepts_all = true;
  /// Every way to ACCEPT asks for the state ESTABLISHED and for nothing that other tables may write (marks, DSCP): what
  /// this table accepts, it accepts whatever nat and mangle say.
  bool accepts_established_only = true;
  /// Some target may stop a packet: DROP, REJECT, a policy DROP, or one that we cannot read.
  bool may_stop = false;
  /// For each built-in chain, packets that it surely accepts where their state is ESTABLISHED: the rules at its front,
  /// up to the first one that could do anything else. At most kMaxFront of them.
  std::map<std::string, std::vector<Conjunction>> front;

  static constexpr size_t kMaxFront = 16;
};

/// `raw` is a table as `kernel::Kernel::read` or `encode` gives it.
TableFacts facts_of(const kernel::RawTable& raw);

}  // namespace tails::iptc
