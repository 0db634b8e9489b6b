#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/address.h"

/// Where the fields of the kernel's xtables structures stand, computed and not taken from a header, so that code that
/// reads and writes them needs no kernel header, and so that the other word size can be tested here.
/// `layout_check.cpp` holds these numbers against the headers. Offsets and sizes in bytes.
namespace tails::iptc::kernel {

/// What a C compiler makes of a pointer and of a 64-bit number inside a structure.
struct Abi {
  size_t pointer = 8;
  size_t u64_alignment = 8;
};

inline constexpr Abi kAmd64{8, 8};
inline constexpr Abi kI386{4, 4};
inline constexpr Abi kArm32{4, 8};

namespace detail {
struct U64InStruct {
  char before;
  uint64_t number;
};
}  // namespace detail
inline constexpr Abi kNativeAbi{sizeof(void*), offsetof(detail::U64InStruct, number)};

constexpr size_t round_up(size_t size, size_t alignment) { return (size + alignment - 1) / alignment * alignment; }

/// XT_ALIGN of linux/netfilter/x_tables.h: what sizes of entries, matches and targets are multiples of.
constexpr size_t xt_align(size_t size, Abi abi) { return round_up(size, abi.u64_alignment); }

inline constexpr size_t kInterfaceSize = 16;      ///< IFNAMSIZ
inline constexpr size_t kExtensionNameSize = 29;  ///< XT_EXTENSION_MAXNAMELEN, with the terminating zero
inline constexpr size_t kMaxChainName = 28;       ///< What a jump's target name holds without its zero.
inline constexpr size_t kTableNameSize = 32;      ///< XT_TABLE_MAXNAMELEN
inline constexpr size_t kMaxEntrySize = 0xFFFF;   ///< next_offset is a 16-bit number.
inline constexpr size_t kHooks = 5;               ///< NF_INET_NUMHOOKS
inline constexpr size_t kErrorNameSize = 30;      ///< XT_FUNCTION_MAXNAMELEN
/// The built-in chain at each hook, by its number.
inline constexpr std::array<std::string_view, kHooks> kHookNames = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT",
                                                                    "POSTROUTING"};

/// struct ipt_entry, struct ip6t_entry (linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h).
struct EntryLayout {
  size_t address = 4;  ///< Size of one address.
  size_t source = 0;
  size_t destination = 0;
  size_t source_mask = 0;
  size_t destination_mask = 0;
  size_t in = 0;
  size_t out = 0;
  size_t in_mask = 0;
  size_t out_mask = 0;
  size_t protocol = 0;       ///< u16
  size_t tos = 0;            ///< u8, IPv6 only
  size_t flags = 0;          ///< u8
  size_t inversions = 0;     ///< u8
  size_t header_end = 0;     ///< Size of struct ipt_ip or ip6t_ip6, padding included.
  size_t nfcache = 0;        ///< u32
  size_t target_offset = 0;  ///< u16
  size_t next_offset = 0;    ///< u16
  size_t comefrom = 0;       ///< u32
  size_t counters = 0;       ///< u64 packets, u64 bytes
  size_t size = 0;           ///< Where the first match or the target stands.
};

constexpr EntryLayout entry_layout(Family family, Abi abi = kNativeAbi) {
  EntryLayout at;
  at.address = family == Family::kIpv4 ? 4 : 16;
  at.source = 0;
  at.destination = at.address;
  at.source_mask = 2 * at.address;
  at.destination_mask = 3 * at.address;
  at.in = 4 * at.address;
  at.out = at.in + kInterfaceSize;
  at.in_mask = at.out + kInterfaceSize;
  at.out_mask = at.in_mask + kInterfaceSize;
  at.protocol = at.out_mask + kInterfaceSize;
  at.tos = at.protocol + 2;
  at.flags = family == Family::kIpv4 ? at.protocol + 2 : at.tos + 1;
  at.inversions = at.flags + 1;
  at.header_end = round_up(at.inversions + 1, 4);
  at.nfcache = at.header_end;
  at.target_offset = at.nfcache + 4;
  at.next_offset = at.target_offset + 2;
  at.comefrom = at.next_offset + 2;
  at.counters = round_up(at.comefrom + 4, abi.u64_alignment);
  at.size = at.counters + 16;
  return at;
}

/// struct xt_entry_match and xt_entry_target, as user space sees them.
namespace extension_at {
inline constexpr size_t kSize = 0;  ///< u16, this header included
inline constexpr size_t kName = 2;
inline constexpr size_t kRevision = kName + kExtensionNameSize;
}  // namespace extension_at

/// Where an extension's own bytes begin, counted from its header. The same for all: the headers are 32 bytes long.
inline constexpr size_t kExtensionHeader = 32;

/// Number of bytes of a standard target: header, verdict, padding.
constexpr size_t standard_target_size(Abi abi = kNativeAbi) { return xt_align(kExtensionHeader + 4, abi); }
/// Of an error target: header, name, padding.
constexpr size_t error_target_size(Abi abi = kNativeAbi) { return xt_align(kExtensionHeader + kErrorNameSize, abi); }

/// Bits of flags and inversions. IPT_F_*, IP6T_F_*, IPT_INV_*.
namespace flag_v4 {
inline constexpr uint8_t kFragment = 0x01;
inline constexpr uint8_t kGoto = 0x02;
}  // namespace flag_v4
namespace flag_v6 {
inline constexpr uint8_t kProtocol = 0x01;
inline constexpr uint8_t kTos = 0x02;
inline constexpr uint8_t kGoto = 0x04;
}  // namespace flag_v6
namespace inversion {
inline constexpr uint8_t kIn = 0x01;
inline constexpr uint8_t kOut = 0x02;
inline constexpr uint8_t kTos = 0x04;
inline constexpr uint8_t kSource = 0x08;
inline constexpr uint8_t kDestination = 0x10;
inline constexpr uint8_t kFragment = 0x20;
inline constexpr uint8_t kProtocol = 0x40;
}  // namespace inversion

/// Numbers of a standard target: -NF_x - 1 (linux/netfilter.h), RETURN is XT_RETURN.
namespace verdict {
inline constexpr int32_t kDrop = -1;
inline constexpr int32_t kAccept = -2;
inline constexpr int32_t kQueue = -4;
inline constexpr int32_t kReturn = -5;
}  // namespace verdict

/// Extension payloads: unpadded sizes and offsets of linux/netfilter*/xt_*.h, ipt_*.h, ip6t_*.h.
namespace payload {

struct Tcp {
  static constexpr size_t kSource = 0, kDestination = 4, kOption = 8, kFlagMask = 9, kFlagCompare = 10,
                          kInversions = 11, kSize = 12;
};
struct Udp {
  static constexpr size_t kSource = 0, kDestination = 4, kInversions = 8, kSize = 10;
};
struct Icmp {
  static constexpr size_t kType = 0, kCodeMin = 1, kCodeMax = 2, kInversions = 3, kSize = 4;
};
/// Revision 1. Revision 0 ends after the ports.
struct Multiport {
  static constexpr size_t kSide = 0, kCount = 1, kPorts = 2, kRangeFlags = 32, kInvert = 47, kSize = 48, kSizeRev0 = 32;
};
struct Owner {
  static constexpr size_t kUidMin = 0, kUidMax = 4, kGidMin = 8, kGidMax = 12, kMatch = 16, kInvert = 17, kSize = 20;
};
struct State {
  static constexpr size_t kMask = 0, kSize = 4;
};
/// Revisions 1 (8-bit masks), 2 and 3 (16-bit; 3 has port ranges).
struct Conntrack {
  static constexpr size_t kExpiresMin = 128, kMatchFlags = 146, kInvertFlags = 148, kStateMask = 150;
  static constexpr size_t kStatusMaskRev1 = 151, kStatusMask = 152, kSizeRev1 = 152, kSizeRev2 = 156, kSizeRev3 = 164;
};
/// What follows the burst is the kernel's own; its size depends on the word size.
struct Limit {
  static constexpr size_t kAverage = 0, kBurst = 4, kPrivate = 8;
  static constexpr size_t size(Abi abi) {
    const size_t numbers_end = 8 + abi.pointer + 12;  // unsigned long prev; u32 credit, credit_cap, cost
    return round_up(numbers_end, abi.pointer) + abi.pointer;
  }
};
struct Mark {
  static constexpr size_t kMark = 0, kMask = 4, kInvert = 8, kSize = 12;
};
struct AddrtypeRev0 {
  static constexpr size_t kSource = 0, kDestination = 2, kInvertSource = 4, kInvertDestination = 8, kSize = 12;
};
struct AddrtypeRev1 {
  static constexpr size_t kSource = 0, kDestination = 2, kFlags = 4, kSize = 8;
};
struct Dscp {
  static constexpr size_t kDscp = 0, kInvert = 1, kSize = 2;
};
struct Comment {
  static constexpr size_t kText = 0, kSize = 256;
};

struct Reject {
  static constexpr size_t kWith = 0, kSize = 4;
};
struct Log {
  static constexpr size_t kLevel = 0, kFlags = 1, kPrefix = 2, kPrefixSize = 30, kSize = 32;
};
struct Nflog {
  static constexpr size_t kLength = 0, kGroup = 4, kThreshold = 6, kFlags = 8, kPrefix = 12, kPrefixSize = 64,
                          kSize = 76;
};
/// struct nf_nat_ipv4_multi_range_compat: REDIRECT, MASQUERADE and DNAT revision 0 of IPv4.
struct NatV4 {
  static constexpr size_t kCount = 0, kFlags = 4, kMinAddress = 8, kMaxAddress = 12, kMinPort = 16, kMaxPort = 18,
                          kSize = 20;
};
/// struct nf_nat_range: IPv6, and DNAT revision 1. nf_nat_range2, revision 2, has a base port behind it.
struct NatRange {
  static constexpr size_t kFlags = 0, kMinAddress = 4, kMaxAddress = 20, kMinPort = 36, kMaxPort = 38, kSize = 40,
                          kBasePort = 40, kSizeRev2 = 44;
};
struct SetMark {
  static constexpr size_t kMark = 0, kMask = 4, kSize = 8;
};
/// Revision 2 puts shift direction and bits before the mode.
struct SetConnmark {
  static constexpr size_t kMark = 0, kCtMask = 4, kNfMask = 8, kModeRev1 = 12, kModeRev2 = 14, kSize = 16;
};
struct SetDscp {
  static constexpr size_t kDscp = 0, kSize = 1;
};

}  // namespace payload
}  // namespace tails::iptc::kernel
