// Holds the numbers of layout.h against the kernel's headers, for the word size that it is compiled for:
// tests/iptc/other_words compiles it for the others.
#include <libiptc/libiptc.h>
// libiptc first: its header brings its own copy of what the next ones build on.
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/x_tables.h>
#include <linux/netfilter/xt_CONNMARK.h>
#include <linux/netfilter/xt_DSCP.h>
#include <linux/netfilter/xt_LOG.h>
#include <linux/netfilter/xt_MARK.h>
#include <linux/netfilter/xt_NFLOG.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_comment.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_dscp.h>
#include <linux/netfilter/xt_limit.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_multiport.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netfilter_ipv6/ip6t_REJECT.h>

#include <bit>
#include <cstddef>

#include "iptc/kernel/layout.h"

namespace tails::iptc::kernel {

static_assert(std::endian::native == std::endian::little, "see cmake/byte_order.cmake");
static_assert(kNativeAbi.pointer == sizeof(void*) && kNativeAbi.u64_alignment == alignof(xt_counters));

constexpr EntryLayout kLayoutV4 = entry_layout(Family::kIpv4);
static_assert(kLayoutV4.source == offsetof(ipt_entry, ip.src) && kLayoutV4.destination == offsetof(ipt_entry, ip.dst));
static_assert(kLayoutV4.source_mask == offsetof(ipt_entry, ip.smsk) &&
              kLayoutV4.destination_mask == offsetof(ipt_entry, ip.dmsk));
static_assert(kLayoutV4.in == offsetof(ipt_entry, ip.iniface) && kLayoutV4.out == offsetof(ipt_entry, ip.outiface));
static_assert(kLayoutV4.in_mask == offsetof(ipt_entry, ip.iniface_mask) &&
              kLayoutV4.out_mask == offsetof(ipt_entry, ip.outiface_mask));
static_assert(kLayoutV4.protocol == offsetof(ipt_entry, ip.proto) && kLayoutV4.flags == offsetof(ipt_entry, ip.flags));
static_assert(kLayoutV4.inversions == offsetof(ipt_entry, ip.invflags) && kLayoutV4.header_end == sizeof(ipt_ip));
static_assert(kLayoutV4.nfcache == offsetof(ipt_entry, nfcache) &&
              kLayoutV4.target_offset == offsetof(ipt_entry, target_offset));
static_assert(kLayoutV4.next_offset == offsetof(ipt_entry, next_offset) &&
              kLayoutV4.comefrom == offsetof(ipt_entry, comefrom));
static_assert(kLayoutV4.counters == offsetof(ipt_entry, counters) && kLayoutV4.size == sizeof(ipt_entry));

constexpr EntryLayout kLayoutV6 = entry_layout(Family::kIpv6);
static_assert(kLayoutV6.source == offsetof(ip6t_entry, ipv6.src) &&
              kLayoutV6.destination == offsetof(ip6t_entry, ipv6.dst));
static_assert(kLayoutV6.source_mask == offsetof(ip6t_entry, ipv6.smsk) &&
              kLayoutV6.destination_mask == offsetof(ip6t_entry, ipv6.dmsk));
static_assert(kLayoutV6.in == offsetof(ip6t_entry, ipv6.iniface) &&
              kLayoutV6.out == offsetof(ip6t_entry, ipv6.outiface));
static_assert(kLayoutV6.in_mask == offsetof(ip6t_entry, ipv6.iniface_mask) &&
              kLayoutV6.out_mask == offsetof(ip6t_entry, ipv6.outiface_mask));
static_assert(kLayoutV6.protocol == offsetof(ip6t_entry, ipv6.proto) &&
              kLayoutV6.tos == offsetof(ip6t_entry, ipv6.tos));
static_assert(kLayoutV6.flags == offsetof(ip6t_entry, ipv6.flags) &&
              kLayoutV6.inversions == offsetof(ip6t_entry, ipv6.invflags));
static_assert(kLayoutV6.header_end == sizeof(ip6t_ip6) && kLayoutV6.nfcache == offsetof(ip6t_entry, nfcache));
static_assert(kLayoutV6.target_offset == offsetof(ip6t_entry, target_offset) &&
              kLayoutV6.next_offset == offsetof(ip6t_entry, next_offset));
static_assert(kLayoutV6.comefrom == offsetof(ip6t_entry, comefrom) &&
              kLayoutV6.counters == offsetof(ip6t_entry, counters));
static_assert(kLayoutV6.size == sizeof(ip6t_entry));

static_assert(kInterfaceSize == IFNAMSIZ && kExtensionNameSize == XT_EXTENSION_MAXNAMELEN &&
              kTableNameSize == XT_TABLE_MAXNAMELEN && kErrorNameSize == XT_FUNCTION_MAXNAMELEN &&
              kHooks == NF_INET_NUMHOOKS);
static_assert(kExtensionHeader == sizeof(xt_entry_match) && kExtensionHeader == sizeof(xt_entry_target));
static_assert(extension_at::kSize == offsetof(xt_entry_match, u.user.match_size) &&
              extension_at::kName == offsetof(xt_entry_match, u.user.name) &&
              extension_at::kRevision == offsetof(xt_entry_match, u.user.revision));
static_assert(extension_at::kName == offsetof(xt_entry_target, u.user.name) &&
              extension_at::kRevision == offsetof(xt_entry_target, u.user.revision));
static_assert(standard_target_size() == xt_align(sizeof(xt_standard_target), kNativeAbi) &&
              error_target_size() == xt_align(sizeof(xt_error_target), kNativeAbi));
static_assert(kNativeAbi.u64_alignment == __alignof__(_xt_align));

static_assert(flag_v4::kFragment == IPT_F_FRAG && flag_v4::kGoto == IPT_F_GOTO);
static_assert(flag_v6::kProtocol == IP6T_F_PROTO && flag_v6::kTos == IP6T_F_TOS && flag_v6::kGoto == IP6T_F_GOTO);
static_assert(inversion::kIn == IPT_INV_VIA_IN && inversion::kOut == IPT_INV_VIA_OUT &&
              inversion::kTos == IPT_INV_TOS && inversion::kSource == IPT_INV_SRCIP &&
              inversion::kDestination == IPT_INV_DSTIP && inversion::kFragment == IPT_INV_FRAG &&
              inversion::kProtocol == IPT_INV_PROTO);
static_assert(inversion::kIn == IP6T_INV_VIA_IN && inversion::kOut == IP6T_INV_VIA_OUT &&
              inversion::kSource == IP6T_INV_SRCIP && inversion::kDestination == IP6T_INV_DSTIP &&
              inversion::kProtocol == IP6T_INV_PROTO);
static_assert(verdict::kDrop == -NF_DROP - 1 && verdict::kAccept == -NF_ACCEPT - 1 &&
              verdict::kQueue == -NF_QUEUE - 1 && verdict::kReturn == XT_RETURN);

namespace p = payload;
static_assert(p::Tcp::kSource == offsetof(xt_tcp, spts) && p::Tcp::kDestination == offsetof(xt_tcp, dpts) &&
              p::Tcp::kOption == offsetof(xt_tcp, option) && p::Tcp::kFlagMask == offsetof(xt_tcp, flg_mask) &&
              p::Tcp::kFlagCompare == offsetof(xt_tcp, flg_cmp) && p::Tcp::kInversions == offsetof(xt_tcp, invflags) &&
              p::Tcp::kSize == sizeof(xt_tcp));
static_assert(p::Udp::kSource == offsetof(xt_udp, spts) && p::Udp::kDestination == offsetof(xt_udp, dpts) &&
              p::Udp::kInversions == offsetof(xt_udp, invflags) && p::Udp::kSize == sizeof(xt_udp));
static_assert(p::Icmp::kType == offsetof(ipt_icmp, type) && p::Icmp::kCodeMin == offsetof(ipt_icmp, code) &&
              p::Icmp::kInversions == offsetof(ipt_icmp, invflags) && p::Icmp::kSize == sizeof(ipt_icmp) &&
              p::Icmp::kSize == sizeof(ip6t_icmp) && p::Icmp::kInversions == offsetof(ip6t_icmp, invflags));
static_assert(p::Multiport::kSide == offsetof(xt_multiport_v1, flags) &&
              p::Multiport::kCount == offsetof(xt_multiport_v1, count) &&
              p::Multiport::kPorts == offsetof(xt_multiport_v1, ports) &&
              p::Multiport::kRangeFlags == offsetof(xt_multiport_v1, pflags) &&
              p::Multiport::kInvert == offsetof(xt_multiport_v1, invert) &&
              p::Multiport::kSize == sizeof(xt_multiport_v1) && p::Multiport::kSizeRev0 == sizeof(xt_multiport));
static_assert(p::Owner::kUidMin == offsetof(xt_owner_match_info, uid_min) &&
              p::Owner::kUidMax == offsetof(xt_owner_match_info, uid_max) &&
              p::Owner::kGidMin == offsetof(xt_owner_match_info, gid_min) &&
              p::Owner::kGidMax == offsetof(xt_owner_match_info, gid_max) &&
              p::Owner::kMatch == offsetof(xt_owner_match_info, match) &&
              p::Owner::kInvert == offsetof(xt_owner_match_info, invert) &&
              p::Owner::kSize == sizeof(xt_owner_match_info));
static_assert(p::State::kMask == offsetof(xt_state_info, statemask) && p::State::kSize == sizeof(xt_state_info));
static_assert(p::Conntrack::kExpiresMin == offsetof(xt_conntrack_mtinfo1, expires_min) &&
              p::Conntrack::kMatchFlags == offsetof(xt_conntrack_mtinfo1, match_flags) &&
              p::Conntrack::kInvertFlags == offsetof(xt_conntrack_mtinfo1, invert_flags) &&
              p::Conntrack::kStateMask == offsetof(xt_conntrack_mtinfo1, state_mask) &&
              p::Conntrack::kStatusMaskRev1 == offsetof(xt_conntrack_mtinfo1, status_mask) &&
              p::Conntrack::kSizeRev1 == sizeof(xt_conntrack_mtinfo1));
static_assert(p::Conntrack::kMatchFlags == offsetof(xt_conntrack_mtinfo2, match_flags) &&
              p::Conntrack::kStateMask == offsetof(xt_conntrack_mtinfo2, state_mask) &&
              p::Conntrack::kStatusMask == offsetof(xt_conntrack_mtinfo2, status_mask) &&
              p::Conntrack::kSizeRev2 == sizeof(xt_conntrack_mtinfo2));
static_assert(p::Conntrack::kMatchFlags == offsetof(xt_conntrack_mtinfo3, match_flags) &&
              p::Conntrack::kInvertFlags == offsetof(xt_conntrack_mtinfo3, invert_flags) &&
              p::Conntrack::kStateMask == offsetof(xt_conntrack_mtinfo3, state_mask) &&
              p::Conntrack::kStatusMask == offsetof(xt_conntrack_mtinfo3, status_mask) &&
              p::Conntrack::kSizeRev3 == sizeof(xt_conntrack_mtinfo3));
static_assert(p::Limit::kAverage == offsetof(xt_rateinfo, avg) && p::Limit::kBurst == offsetof(xt_rateinfo, burst) &&
              p::Limit::kPrivate == offsetof(xt_rateinfo, prev) && p::Limit::size(kNativeAbi) == sizeof(xt_rateinfo));
static_assert(p::Mark::kMark == offsetof(xt_mark_mtinfo1, mark) && p::Mark::kMask == offsetof(xt_mark_mtinfo1, mask) &&
              p::Mark::kInvert == offsetof(xt_mark_mtinfo1, invert) && p::Mark::kSize == sizeof(xt_mark_mtinfo1) &&
              p::Mark::kMask == offsetof(xt_connmark_mtinfo1, mask) &&
              p::Mark::kInvert == offsetof(xt_connmark_mtinfo1, invert) &&
              p::Mark::kSize == sizeof(xt_connmark_mtinfo1));
static_assert(p::AddrtypeRev0::kSource == offsetof(xt_addrtype_info, source) &&
              p::AddrtypeRev0::kDestination == offsetof(xt_addrtype_info, dest) &&
              p::AddrtypeRev0::kInvertSource == offsetof(xt_addrtype_info, invert_source) &&
              p::AddrtypeRev0::kInvertDestination == offsetof(xt_addrtype_info, invert_dest) &&
              p::AddrtypeRev0::kSize == sizeof(xt_addrtype_info));
static_assert(p::AddrtypeRev1::kSource == offsetof(xt_addrtype_info_v1, source) &&
              p::AddrtypeRev1::kDestination == offsetof(xt_addrtype_info_v1, dest) &&
              p::AddrtypeRev1::kFlags == offsetof(xt_addrtype_info_v1, flags) &&
              p::AddrtypeRev1::kSize == sizeof(xt_addrtype_info_v1));
static_assert(p::Dscp::kDscp == offsetof(xt_dscp_info, dscp) && p::Dscp::kInvert == offsetof(xt_dscp_info, invert) &&
              p::Dscp::kSize == sizeof(xt_dscp_info));
static_assert(p::Comment::kSize == sizeof(xt_comment_info));

static_assert(p::Reject::kSize == sizeof(ipt_reject_info) && p::Reject::kSize == sizeof(ip6t_reject_info));
static_assert(p::Log::kLevel == offsetof(xt_log_info, level) && p::Log::kFlags == offsetof(xt_log_info, logflags) &&
              p::Log::kPrefix == offsetof(xt_log_info, prefix) && p::Log::kPrefixSize == sizeof(xt_log_info::prefix) &&
              p::Log::kSize == sizeof(xt_log_info));
static_assert(p::Nflog::kLength == offsetof(xt_nflog_info, len) && p::Nflog::kGroup == offsetof(xt_nflog_info, group) &&
              p::Nflog::kThreshold == offsetof(xt_nflog_info, threshold) &&
              p::Nflog::kFlags == offsetof(xt_nflog_info, flags) &&
              p::Nflog::kPrefix == offsetof(xt_nflog_info, prefix) &&
              p::Nflog::kPrefixSize == sizeof(xt_nflog_info::prefix) && p::Nflog::kSize == sizeof(xt_nflog_info));
static_assert(p::NatV4::kFlags == offsetof(nf_nat_ipv4_multi_range_compat, range[0].flags) &&
              p::NatV4::kMinAddress == offsetof(nf_nat_ipv4_multi_range_compat, range[0].min_ip) &&
              p::NatV4::kMaxAddress == offsetof(nf_nat_ipv4_multi_range_compat, range[0].max_ip) &&
              p::NatV4::kMinPort == offsetof(nf_nat_ipv4_multi_range_compat, range[0].min) &&
              p::NatV4::kMaxPort == offsetof(nf_nat_ipv4_multi_range_compat, range[0].max) &&
              p::NatV4::kSize == sizeof(nf_nat_ipv4_multi_range_compat));
static_assert(p::NatRange::kMinAddress == offsetof(nf_nat_range2, min_addr) &&
              p::NatRange::kMaxAddress == offsetof(nf_nat_range2, max_addr) &&
              p::NatRange::kMinPort == offsetof(nf_nat_range2, min_proto) &&
              p::NatRange::kMaxPort == offsetof(nf_nat_range2, max_proto) &&
              p::NatRange::kBasePort == offsetof(nf_nat_range2, base_proto) &&
              p::NatRange::kSize == sizeof(nf_nat_range) && p::NatRange::kSizeRev2 == sizeof(nf_nat_range2));
static_assert(p::SetMark::kMask == offsetof(xt_mark_tginfo2, mask) && p::SetMark::kSize == sizeof(xt_mark_tginfo2));
static_assert(p::SetConnmark::kCtMask == offsetof(xt_connmark_tginfo1, ctmask) &&
              p::SetConnmark::kNfMask == offsetof(xt_connmark_tginfo1, nfmask) &&
              p::SetConnmark::kModeRev1 == offsetof(xt_connmark_tginfo1, mode) &&
              p::SetConnmark::kModeRev2 == offsetof(xt_connmark_tginfo2, mode) &&
              p::SetConnmark::kSize == sizeof(xt_connmark_tginfo1) &&
              p::SetConnmark::kSize == sizeof(xt_connmark_tginfo2));
static_assert(p::SetDscp::kSize == sizeof(xt_DSCP_info));

}  // namespace tails::iptc::kernel
