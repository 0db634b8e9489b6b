#include "iptc/kernel/extensions.h"

#include <algorithm>
#include <array>

namespace tails::iptc::kernel {
namespace {

using K = ExtensionKind;
namespace p = payload;
constexpr uint8_t kBoth = Extension::kV4 | Extension::kV6;
constexpr uint8_t kV4 = Extension::kV4;
constexpr uint8_t kV6 = Extension::kV6;
constexpr uint8_t kOwnerHooks = hook::kOutput | hook::kPostrouting;
constexpr uint8_t kFilterHooks = hook::kInput | hook::kForward | hook::kOutput;
constexpr uint8_t kDestinationNatHooks = hook::kPrerouting | hook::kOutput;

// Tables and hooks: the .table and .hooks of each struct xt_match and xt_target in net/netfilter/xt_*.c,
// net/ipv4/netfilter/ipt_REJECT.c and net/ipv6/netfilter/ip6t_REJECT.c.
constexpr std::array<Extension, kExtensionCount> kExtensions = {{
    {K::kMatch, kBoth, "tcp", 0, p::Tcp::kSize, "", hook::kAll, protocol::kTcp},
    {K::kMatch, kBoth, "udp", 0, p::Udp::kSize, "", hook::kAll, protocol::kUdp},
    {K::kMatch, kV4, "icmp", 0, p::Icmp::kSize, "", hook::kAll, protocol::kIcmp},
    {K::kMatch, kV6, "icmp6", 0, p::Icmp::kSize, "", hook::kAll, protocol::kIcmpv6},
    {K::kMatch, kBoth, "multiport", 0, p::Multiport::kSizeRev0, "", hook::kAll, 0},
    {K::kMatch, kBoth, "multiport", 1, p::Multiport::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "owner", 1, p::Owner::kSize, "", kOwnerHooks, 0},
    {K::kMatch, kBoth, "state", 0, p::State::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "conntrack", 1, p::Conntrack::kSizeRev1, "", hook::kAll, 0},
    {K::kMatch, kBoth, "conntrack", 2, p::Conntrack::kSizeRev2, "", hook::kAll, 0},
    {K::kMatch, kBoth, "conntrack", 3, p::Conntrack::kSizeRev3, "", hook::kAll, 0},
    {K::kMatch, kBoth, "limit", 0, p::Limit::size(kNativeAbi), "", hook::kAll, 0},
    {K::kMatch, kBoth, "mark", 1, p::Mark::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "connmark", 1, p::Mark::kSize, "", hook::kAll, 0},
    {K::kMatch, kV4, "addrtype", 0, p::AddrtypeRev0::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "addrtype", 1, p::AddrtypeRev1::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "dscp", 0, p::Dscp::kSize, "", hook::kAll, 0},
    {K::kMatch, kBoth, "comment", 0, p::Comment::kSize, "", hook::kAll, 0},
    {K::kTarget, kBoth, "REJECT", 0, p::Reject::kSize, "filter", kFilterHooks, 0},
    {K::kTarget, kBoth, "LOG", 0, p::Log::kSize, "", hook::kAll, 0},
    {K::kTarget, kBoth, "NFLOG", 0, p::Nflog::kSize, "", hook::kAll, 0},
    {K::kTarget, kV4, "REDIRECT", 0, p::NatV4::kSize, "nat", kDestinationNatHooks, 0},
    {K::kTarget, kV6, "REDIRECT", 0, p::NatRange::kSize, "nat", kDestinationNatHooks, 0},
    {K::kTarget, kV4, "MASQUERADE", 0, p::NatV4::kSize, "nat", hook::kPostrouting, 0},
    {K::kTarget, kV6, "MASQUERADE", 0, p::NatRange::kSize, "nat", hook::kPostrouting, 0},
    {K::kTarget, kV4, "DNAT", 0, p::NatV4::kSize, "nat", kDestinationNatHooks, 0},
    {K::kTarget, kBoth, "DNAT", 1, p::NatRange::kSize, "nat", kDestinationNatHooks, 0},
    {K::kTarget, kBoth, "DNAT", 2, p::NatRange::kSizeRev2, "nat", kDestinationNatHooks, 0},
    {K::kTarget, kBoth, "MARK", 2, p::SetMark::kSize, "", hook::kAll, 0},
    {K::kTarget, kBoth, "CONNMARK", 1, p::SetConnmark::kSize, "", hook::kAll, 0},
    {K::kTarget, kBoth, "CONNMARK", 2, p::SetConnmark::kSize, "", hook::kAll, 0},
    {K::kTarget, kBoth, "DSCP", 0, p::SetDscp::kSize, "mangle", hook::kAll, 0},
}};

struct NamedSource {
  K kind;
  uint8_t families;
  std::string_view name;
  ExtensionSource source;
};

constexpr std::array<NamedSource, 24> kSources = {{
    {K::kMatch, kBoth, "tcp", {"xt_tcpudp", "CONFIG_NETFILTER_XTABLES"}},
    {K::kMatch, kBoth, "udp", {"xt_tcpudp", "CONFIG_NETFILTER_XTABLES"}},
    {K::kMatch, kV4, "icmp", {"ip_tables", "CONFIG_IP_NF_IPTABLES"}},
    {K::kMatch, kV6, "icmp6", {"ip6_tables", "CONFIG_IP6_NF_IPTABLES"}},
    {K::kMatch, kBoth, "multiport", {"xt_multiport", "CONFIG_NETFILTER_XT_MATCH_MULTIPORT"}},
    {K::kMatch, kBoth, "owner", {"xt_owner", "CONFIG_NETFILTER_XT_MATCH_OWNER"}},
    {K::kMatch, kBoth, "state", {"xt_state", "CONFIG_NETFILTER_XT_MATCH_STATE"}},
    {K::kMatch, kBoth, "conntrack", {"xt_conntrack", "CONFIG_NETFILTER_XT_MATCH_CONNTRACK"}},
    {K::kMatch, kBoth, "limit", {"xt_limit", "CONFIG_NETFILTER_XT_MATCH_LIMIT"}},
    {K::kMatch, kBoth, "mark", {"xt_mark", "CONFIG_NETFILTER_XT_MARK"}},
    {K::kMatch, kBoth, "connmark", {"xt_connmark", "CONFIG_NETFILTER_XT_CONNMARK"}},
    {K::kMatch, kBoth, "addrtype", {"xt_addrtype", "CONFIG_NETFILTER_XT_MATCH_ADDRTYPE"}},
    {K::kMatch, kBoth, "dscp", {"xt_dscp", "CONFIG_NETFILTER_XT_MATCH_DSCP"}},
    {K::kMatch, kBoth, "comment", {"xt_comment", "CONFIG_NETFILTER_XT_MATCH_COMMENT"}},
    {K::kTarget, kV4, "REJECT", {"ipt_REJECT", "CONFIG_IP_NF_TARGET_REJECT"}},
    {K::kTarget, kV6, "REJECT", {"ip6t_REJECT", "CONFIG_IP6_NF_TARGET_REJECT"}},
    {K::kTarget, kBoth, "LOG", {"xt_LOG", "CONFIG_NETFILTER_XT_TARGET_LOG"}},
    {K::kTarget, kBoth, "NFLOG", {"xt_NFLOG", "CONFIG_NETFILTER_XT_TARGET_NFLOG"}},
    {K::kTarget, kBoth, "REDIRECT", {"xt_REDIRECT", "CONFIG_NETFILTER_XT_TARGET_REDIRECT"}},
    {K::kTarget, kBoth, "MASQUERADE", {"xt_MASQUERADE", "CONFIG_NETFILTER_XT_TARGET_MASQUERADE"}},
    {K::kTarget, kBoth, "DNAT", {"xt_nat", "CONFIG_NETFILTER_XT_NAT"}},
    {K::kTarget, kBoth, "MARK", {"xt_mark", "CONFIG_NETFILTER_XT_MARK"}},
    {K::kTarget, kBoth, "CONNMARK", {"xt_connmark", "CONFIG_NETFILTER_XT_CONNMARK"}},
    {K::kTarget, kBoth, "DSCP", {"xt_DSCP", "CONFIG_NETFILTER_XT_TARGET_DSCP"}},
}};

}  // namespace

uint8_t hook_of(std::string_view chain) {
  const auto* const at = std::ranges::find(kHookNames, chain);
  return at == kHookNames.end() ? uint8_t{0} : static_cast<uint8_t>(1U << (at - kHookNames.begin()));
}

std::span<const Extension, kExtensionCount> extensions() { return kExtensions; }

const Extension& extension(ExtensionId id) { return kExtensions.at(static_cast<size_t>(id)); }

std::optional<ExtensionId> find_extension(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) {
  const auto* const at = std::ranges::find_if(kExtensions, [&](const Extension& e) {
    return e.kind == kind && e.revision == revision && e.is_for(family) && e.name == name;
  });
  if (at == kExtensions.end()) return std::nullopt;
  return static_cast<ExtensionId>(at - kExtensions.begin());
}

ExtensionSource source_of(Family family, ExtensionKind kind, std::string_view name) {
  const auto bit = family == Family::kIpv4 ? kV4 : kV6;
  for (const NamedSource& row : kSources) {
    if (row.kind == kind && (row.families & bit) != 0 && row.name == name) return row.source;
  }
  return {};
}

}  // namespace tails::iptc::kernel
