#pragma once

#include <linux/netlink.h>

#include <cstddef>
#include <optional>
#include <vector>

#include "conntrack/flow.h"
#include "conntrack/netlink.h"

/// Flows as ctnetlink writes them (linux/netfilter/nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c
/// ctnetlink_fill_info and ctnetlink_del_conntrack). Pure.
namespace tails::conntrack {

/// Reads an IPCTNL_MSG_CT_NEW or _DELETE message. Nullopt when it is of another subsystem or family, or lacks a
/// direction. Never reads outside the message.
std::optional<Flow> decode_flow(const nlmsghdr& message);

/// A run of IPCTNL_MSG_CT_DELETE requests for one send. The kernel answers only those that fail and the last.
class DeleteBatch {
 public:
  static constexpr size_t kMaxFlows = 512;

  DeleteBatch();
  /// Names the flow by tuple, zone and id, so that a later flow with the same tuple is not hit.
  void add(const Flow& flow);
  [[nodiscard]] size_t size() const { return count_; }
  [[nodiscard]] bool full() const { return count_ == kMaxFlows; }
  void clear();
  /// Numbers the messages `first_sequence`… and asks for an acknowledgement of the last.
  std::span<const std::byte> finish(uint32_t first_sequence);

 private:
  std::vector<std::byte> bytes_;
  std::vector<size_t> starts_;
  size_t used_ = 0;
  size_t count_ = 0;
};

/// The part of `filter` that the kernel compares itself while it dumps (CTA_FILTER: whole IPv4 addresses and the
/// protocol, from 5.8; CTA_MARK and the family always). An older kernel ignores what it does not know, so the
/// reader must apply `filter` again.
Request dump_request(const FlowFilter& filter);

/// The request that makes the kernel itself delete what `filter` names, nullopt where it cannot be asked in a
/// way that no kernel misreads: an address or protocol goes as CTA_FILTER *with* a tuple, which a kernel that
/// does not filter flushes (before 6.11) refuses as an incomplete tuple; without the tuple it would delete everything.
std::optional<Request> flush_request(const FlowFilter& filter);

/// Asks for the one flow that has `tuple` in either direction.
Request get_request(const FlowTuple& tuple, const Zone& zone);

}  // namespace tails::conntrack
