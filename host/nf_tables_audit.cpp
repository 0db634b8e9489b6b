#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

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
  if (!chains || hooks.empty()) return {};
  (void)dump(NFT_MSG_GETRULE, [&](const nlmsghdr& message) { hooks.take_rule(message); });
  return hooks.findings();
}

}  // namespace tails::host
