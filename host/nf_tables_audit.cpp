#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <cerrno>

#include "host/filter_audit.h"
#include "host/netlink_dump.h"
#include "host/nf_tables_hooks.h"

namespace tails::host {
namespace {

Result<void> dump(uint16_t type, const std::function<void(const nlmsghdr&)>& each) {
  nfgenmsg header{};
  header.version = NFNETLINK_V0;
  return netlink_dump(NETLINK_NETFILTER, static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                      std::as_bytes(std::span(&header, 1)), each);
}

}  // namespace

Findings audit_nf_tables() {
  NfTablesHooks hooks;
  const auto chains = dump(NFT_MSG_GETCHAIN, [&](const nlmsghdr& message) { hooks.take_chain(message); });
  // So answers a kernel that has no nf_tables.
  const bool is_missing = !chains && chains.error().system_errno == EINVAL;
  if (!chains && !is_missing) return {unexamined("filter", "nf_tables", chains.error())};
  if (hooks.empty()) return {};
  const auto rules = dump(NFT_MSG_GETRULE, [&](const nlmsghdr& message) { hooks.take_rule(message); });
  Findings findings = hooks.findings();
  if (!rules) findings.push_back(unexamined("filter", "rules of nf_tables", rules.error()));
  return findings;
}

}  // namespace tails::host
