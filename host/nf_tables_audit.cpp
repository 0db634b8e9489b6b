#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "host/filter_audit.h"
#include "host/netlink_dump.h"

namespace tails::host {
namespace {

/// "ip filter", as nft writes it.
using TableName = std::pair<uint8_t, std::string>;

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

/// The attribute of a message; nullptr where it has none.
const nlattr* find(const nlmsghdr* message, uint16_t type) {
  struct Search {
    uint16_t type;
    const nlattr* found;
  } search{type, nullptr};
  const auto keep = [](const nlattr* attribute, void* data) {
    auto* wanted = static_cast<Search*>(data);
    if (mnl_attr_get_type(attribute) == wanted->type) wanted->found = attribute;
    return MNL_CB_OK;
  };
  mnl_attr_parse(message, sizeof(nfgenmsg), keep, &search);
  return search.found;
}

std::optional<TableName> table_of(const nlmsghdr* message, uint16_t type) {
  const auto* header = static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message));
  const nlattr* name = find(message, type);
  if (name == nullptr) return std::nullopt;
  return TableName{header->nfgen_family, mnl_attr_get_str(name)};
}

Result<void> dump(uint16_t type, const std::function<void(const nlmsghdr*)>& each) {
  nfgenmsg header{};
  header.version = NFNETLINK_V0;
  return netlink_dump(NETLINK_NETFILTER, static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                      std::as_bytes(std::span(&header, 1)), each);
}

}  // namespace

Findings audit_nf_tables() {
  std::map<TableName, std::set<std::string>> hooked;
  const auto chains = dump(NFT_MSG_GETCHAIN, [&](const nlmsghdr* message) {
    const auto table = table_of(message, NFTA_CHAIN_TABLE);
    const nlattr* name = find(message, NFTA_CHAIN_NAME);
    if (table && name != nullptr && find(message, NFTA_CHAIN_HOOK) != nullptr) {
      hooked[*table].insert(mnl_attr_get_str(name));
    }
  });
  if (!chains || hooked.empty()) return {};
  std::map<TableName, std::set<uint64_t>> rules;
  (void)dump(NFT_MSG_GETRULE, [&](const nlmsghdr* message) {
    const auto table = table_of(message, NFTA_RULE_TABLE);
    const nlattr* handle = find(message, NFTA_RULE_HANDLE);
    if (table && handle != nullptr) rules[*table].insert(mnl_attr_get_u64(handle));
  });
  Findings findings;
  for (const auto& [table, names] : hooked) {
    const std::string name = std::string(family_text(table.first)) + " " + table.second;
    std::string list;
    for (const std::string& chain : names) list += (list.empty() ? "" : ", ") + chain;
    const size_t count = rules[table].size();
    findings.push_back({"filter", "nf_tables table " + name,
                        "judges packets besides this policy: " + std::to_string(count) + " rule" +
                            (count == 1 ? "" : "s") + " in chains " + list,
                        "nft delete table " + name + ", and keep what loads it from doing so again"});
  }
  return findings;
}

}  // namespace tails::host
