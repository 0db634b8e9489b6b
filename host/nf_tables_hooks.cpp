#include "host/nf_tables_hooks.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "net/netlink.h"

namespace tails::host {
namespace {

/// As nft writes it.
const char* family_text(uint8_t family) {
  switch (family) {
    case NFPROTO_INET: return "inet";
    case NFPROTO_IPV4: return "ip";
    case NFPROTO_ARP: return "arp";
    case NFPROTO_NETDEV: return "netdev";
    case NFPROTO_BRIDGE: return "bridge";
    case NFPROTO_IPV6: return "ip6";
    default: return "unknown";
  }
}

bool is_of(const nlmsghdr& message, unsigned type) { return message.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | type); }

netlink::Attributes attributes_of(const nlmsghdr& message) {
  return netlink::Attributes(netlink::message_payload(message, sizeof(nfgenmsg)));
}

}  // namespace

void NfTablesHooks::take_chain(const nlmsghdr& message) {
  const auto header = netlink::fixed_part<nfgenmsg>(message);
  if (!is_of(message, NFT_MSG_NEWCHAIN) || !header) return;
  const auto table = netlink::find(attributes_of(message), NFTA_CHAIN_TABLE);
  const auto name = netlink::find(attributes_of(message), NFTA_CHAIN_NAME);
  if (!table || !name || !netlink::find(attributes_of(message), NFTA_CHAIN_HOOK)) return;
  chains_[{header->nfgen_family, std::string(table->text())}].emplace(name->text());
}

void NfTablesHooks::take_rule(const nlmsghdr& message) {
  const auto header = netlink::fixed_part<nfgenmsg>(message);
  if (!is_of(message, NFT_MSG_NEWRULE) || !header) return;
  const auto table = netlink::find(attributes_of(message), NFTA_RULE_TABLE);
  const auto handle = netlink::find(attributes_of(message), NFTA_RULE_HANDLE);
  if (table && handle) rules_[{header->nfgen_family, std::string(table->text())}].insert(handle->u64());
}

Findings NfTablesHooks::findings() const {
  Findings findings;
  for (const auto& [table, names] : chains_) {
    const std::string name = std::string(family_text(table.first)) + " " + table.second;
    std::string list;
    for (const std::string& chain : names) list += (list.empty() ? "" : ", ") + chain;
    const auto rules = rules_.find(table);
    const size_t count = rules == rules_.end() ? 0 : rules->second.size();
    findings.push_back({"filter", "nf_tables table " + name,
                        "judges packets besides this policy: " + std::to_string(count) + " rule" +
                            (count == 1 ? "" : "s") + " in chains " + list,
                        "nft delete table " + name + ", and keep what loads it from doing so again"});
  }
  return findings;
}

}  // namespace tails::host
