#include "iptc/kernel/check_entry.h"

#include <cerrno>

namespace tails::iptc::kernel {
namespace {

namespace p = payload;
using Bytes = std::span<const std::byte>;

constexpr uint8_t kTcpInversions = 0x0F;  // XT_TCP_INV_MASK
constexpr uint8_t kUdpInversions = 0x03;  // XT_UDP_INV_MASK
constexpr uint8_t kIcmpInversions = 0x01;
constexpr uint8_t kOwnerFlags = 0x0F;  // XT_OWNER_MASK
constexpr uint8_t kMaxSide = 2;        // XT_MULTIPORT_EITHER
constexpr uint8_t kMaxPorts = 15;      // XT_MULTI_PORTS
constexpr uint8_t kMaxDscp = 63;
constexpr uint32_t kMapAddresses = 1;  // NF_NAT_RANGE_MAP_IPS
constexpr uint16_t kCopyLength = 1;    // XT_NFLOG_F_COPY_LEN
constexpr uint32_t kLimitInterfaceIn = 4, kLimitInterfaceOut = 8;

/// The header's protocol, 0 where it is inverted or none.
uint16_t protocol_of(const EntryView& entry, Family family) {
  const EntryLayout at = entry_layout(family);
  const bool inverted = (load<uint8_t>(entry.bytes, at.inversions) & inversion::kProtocol) != 0;
  return inverted ? uint16_t{0} : load<uint16_t>(entry.bytes, at.protocol);
}

/// net/ipv4/netfilter/ipt_REJECT.c reject_tg_check, net/ipv6/netfilter/ip6t_REJECT.c reject_tg6_check.
bool reject_fits(const PlacedExtension& placed, KernelLine line) {
  const bool is_v4 = placed.family == Family::kIpv4;
  const auto with = load<uint32_t>(placed.view.data, p::Reject::kWith);
  if (with == (is_v4 ? 4U : 5U)) return false;  // ECHOREPLY, which nobody ever wrote
  if (with != (is_v4 ? 7U : 6U)) return true;   // TCP_RESET
  if (protocol_of(placed.entry, placed.family) != protocol::kTcp) return false;
  const auto flags = load<uint8_t>(placed.entry.bytes, entry_layout(placed.family).flags);
  return is_v4 || line < KernelLine::k4_4 || (flags & flag_v6::kProtocol) != 0;
}

/// net/netfilter/xt_addrtype.c addrtype_mt_checkentry_v1.
bool addrtype_fits(const PlacedExtension& placed) {
  const auto flags = load<uint32_t>(placed.view.data, p::AddrtypeRev1::kFlags);
  const bool in = (flags & kLimitInterfaceIn) != 0;
  const bool out = (flags & kLimitInterfaceOut) != 0;
  if (in && out) return false;
  if (out && (placed.hooks & (hook::kPrerouting | hook::kInput)) != 0) return false;
  return !in || (placed.hooks & (hook::kPostrouting | hook::kOutput)) == 0;
}

/// net/netfilter/xt_limit.c limit_mt_check: the product is a 32-bit number there.
bool limit_fits(Bytes data) {
  const auto average = load<uint32_t>(data, p::Limit::kAverage);
  const auto burst = load<uint32_t>(data, p::Limit::kBurst);
  return burst != 0 && average * burst >= average;
}

bool multiport_fits(const PlacedExtension& placed) {
  const Bytes data = placed.view.data;
  return protocol::carries_ports(protocol_of(placed.entry, placed.family)) &&
         load<uint8_t>(data, p::Multiport::kSide) <= kMaxSide && load<uint8_t>(data, p::Multiport::kCount) <= kMaxPorts;
}

bool ends_in_zero(Bytes data, size_t text, size_t size) { return data[text + size - 1] == std::byte{0}; }

bool nflog_fits(Bytes data, KernelLine line) {
  // Linux 4.8 added the flag; before, XT_NFLOG_MASK was 0.
  const unsigned known = line >= KernelLine::k4_9 ? kCopyLength : 0U;
  return (load<uint16_t>(data, p::Nflog::kFlags) & ~known) == 0 &&
         ends_in_zero(data, p::Nflog::kPrefix, p::Nflog::kPrefixSize);
}

bool old_nat_fits(Bytes data, bool may_map_addresses) {
  return load<uint32_t>(data, p::NatV4::kCount) == 1 &&
         (may_map_addresses || (load<uint32_t>(data, p::NatV4::kFlags) & kMapAddresses) == 0);
}

int refuse_unless(bool fits, int problem = EINVAL) { return fits ? 0 : problem; }

}  // namespace

int check_entry(const PlacedExtension& placed, KernelLine line) {
  const Bytes data = placed.view.data;
  const auto only = [&](size_t offset, uint8_t known) { return (load<uint8_t>(data, offset) & ~known) == 0; };
  // The checks told true from false until 2.6.35, and have an errno since.
  const bool has_errno = line >= KernelLine::k3_2;
  switch (placed.id) {
    case ExtensionId::kTcp0: return refuse_unless(only(p::Tcp::kInversions, kTcpInversions));
    case ExtensionId::kUdp0: return refuse_unless(only(p::Udp::kInversions, kUdpInversions));
    case ExtensionId::kIcmp0:
    case ExtensionId::kIcmp6Rev0: return refuse_unless(only(p::Icmp::kInversions, kIcmpInversions));
    case ExtensionId::kMultiport0:
    case ExtensionId::kMultiport1: return refuse_unless(multiport_fits(placed));
    case ExtensionId::kOwner1:
      // The mask came with --suppl-groups in 5.3; an older kernel ignores what it does not know.
      return refuse_unless(line < KernelLine::k5_10 || only(p::Owner::kMatch, kOwnerFlags));
    case ExtensionId::kLimit0: return refuse_unless(limit_fits(data), has_errno ? ERANGE : EINVAL);
    case ExtensionId::kAddrtype1: return refuse_unless(addrtype_fits(placed));
    case ExtensionId::kDscp0:
      return refuse_unless(load<uint8_t>(data, p::Dscp::kDscp) <= kMaxDscp, has_errno ? EDOM : EINVAL);
    case ExtensionId::kSetDscp0:
      return refuse_unless(load<uint8_t>(data, p::SetDscp::kDscp) <= kMaxDscp, has_errno ? EDOM : EINVAL);
    case ExtensionId::kReject0: return refuse_unless(reject_fits(placed, line));
    case ExtensionId::kLog0:
      return refuse_unless(load<uint8_t>(data, p::Log::kLevel) < 8 &&
                           ends_in_zero(data, p::Log::kPrefix, p::Log::kPrefixSize));
    case ExtensionId::kNflog0: return refuse_unless(nflog_fits(data, line));
    case ExtensionId::kRedirectV4Rev0:
    case ExtensionId::kMasqueradeV4Rev0: return refuse_unless(old_nat_fits(data, false));
    case ExtensionId::kDnat0: return refuse_unless(old_nat_fits(data, true));
    case ExtensionId::kRedirectV6Rev0:
    case ExtensionId::kMasqueradeV6Rev0:
      return refuse_unless((load<uint32_t>(data, p::NatRange::kFlags) & kMapAddresses) == 0);
    case ExtensionId::kState0:
    case ExtensionId::kConntrack1:
    case ExtensionId::kConntrack2:
    case ExtensionId::kConntrack3:
    case ExtensionId::kMark1:
    case ExtensionId::kConnmark1:
    case ExtensionId::kAddrtype0:
    case ExtensionId::kComment0:
    case ExtensionId::kDnat1:
    case ExtensionId::kDnat2:
    case ExtensionId::kSetMark2:
    case ExtensionId::kSetConnmark1:
    case ExtensionId::kSetConnmark2: break;
  }
  return 0;
}

int check_header(const EntryView& entry, Family family) {
  const EntryLayout at = entry_layout(family);
  const uint8_t flags = family == Family::kIpv4 ? 0x03 : 0x07;  // IPT_F_MASK, IP6T_F_MASK
  constexpr uint8_t kInversions = 0x7F;                         // IPT_INV_MASK, IP6T_INV_MASK
  const bool fits = (load<uint8_t>(entry.bytes, at.flags) & ~flags) == 0 &&
                    (load<uint8_t>(entry.bytes, at.inversions) & ~kInversions) == 0;
  return fits ? 0 : EINVAL;
}

}  // namespace tails::iptc::kernel
