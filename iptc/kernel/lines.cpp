#include "iptc/kernel/lines.h"

#include <algorithm>

namespace tails::iptc::kernel {
namespace {

using L = KernelLine;
using Id = ExtensionId;

/// The lines that have an extension, first and last; all the others are in every line.
struct Span {
  Id id;
  uint8_t families;
  KernelLine first;
  KernelLine last;
};

constexpr std::array<Span, 8> kSpans = {{
    // net/netfilter/xt_multiport.c: revision 0 is in 2.6.32.67 and not in 3.2.0 any more.
    {Id::kMultiport0, Extension::kV4 | Extension::kV6, L::k2_6_32, L::k2_6_32},
    // net/netfilter/xt_conntrack.c: revisions 1 and 2 in 2.6.32.67, 1 to 3 in 3.2.0.
    {Id::kConntrack3, Extension::kV4 | Extension::kV6, L::k3_2, L::kLatest},
    // net/ipv4/netfilter/ipt_addrtype.c of 2.6.32.67 is IPv4's alone; net/netfilter/xt_addrtype.c of 3.2.0 is not.
    {Id::kAddrtype1, Extension::kV6, L::k3_2, L::kLatest},
    // net/netfilter/xt_REDIRECT.c, net/ipv6/netfilter/ip6t_MASQUERADE.c, net/netfilter/xt_nat.c: in 3.16.0, not
    // in 3.2.0.
    {Id::kRedirectV6Rev0, Extension::kV6, L::k3_16, L::kLatest},
    {Id::kMasqueradeV6Rev0, Extension::kV6, L::k3_16, L::kLatest},
    {Id::kDnat1, Extension::kV4 | Extension::kV6, L::k3_16, L::kLatest},
    // net/netfilter/xt_nat.c: revision 2 is in 4.19.13 and not in 4.9.80.
    {Id::kDnat2, Extension::kV4 | Extension::kV6, L::k4_19, L::kLatest},
    // net/netfilter/xt_connmark.c: the same.
    {Id::kSetConnmark2, Extension::kV4 | Extension::kV6, L::k4_19, L::kLatest},
}};

constexpr std::array<std::string_view, 8> kNames = {"2.6.32", "3.2", "3.16", "4.4", "4.9", "4.19", "5.10", "latest"};

}  // namespace

std::string_view to_string(KernelLine line) { return kNames.at(static_cast<size_t>(line)); }

bool has_extension(KernelLine line, ExtensionId id, Family family) {
  if (!extension(id).is_for(family)) return false;
  const uint8_t bit = family == Family::kIpv4 ? Extension::kV4 : Extension::kV6;
  return std::ranges::all_of(kSpans, [&](const Span& span) {
    return span.id != id || (span.families & bit) == 0 || (span.first <= line && line <= span.last);
  });
}

bool has_table(KernelLine line, Family family, std::string_view table) {
  return table != "nat" || family == Family::kIpv4 || line >= KernelLine::k3_16;
}

}  // namespace tails::iptc::kernel
