#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "net/address.h"

/// The words of the text form: each table is read by the writer and by the reader.
/// As iptables 1.8.9 has them (libxtables and its extensions), protocols from Debian's netbase 6.4.
namespace tails::ruleset::text {

/// A number and its word. Where a number stands twice, the first is the one that is written.
struct Word {
  uint32_t value;
  std::string_view name;
};

/// Bits in the order in which they are written.
inline constexpr std::array<Word, 6> kTcpFlags = {
    {{0x01, "FIN"}, {0x02, "SYN"}, {0x04, "RST"}, {0x08, "PSH"}, {0x10, "ACK"}, {0x20, "URG"}}};

/// XT_CONNTRACK_STATE_*; `-m state` knows the first five.
inline constexpr std::array<Word, 7> kStates = {
    {{1, "INVALID"}, {8, "NEW"}, {4, "RELATED"}, {2, "ESTABLISHED"}, {256, "UNTRACKED"}, {64, "SNAT"}, {128, "DNAT"}}};
inline constexpr size_t kStatesOfStateMatch = 5;

/// IPS_*; no bit at all is "NONE".
inline constexpr std::array<Word, 4> kStatuses = {
    {{1, "EXPECTED"}, {2, "SEEN_REPLY"}, {4, "ASSURED"}, {8, "CONFIRMED"}}};

/// XT_ADDRTYPE_*.
inline constexpr std::array<Word, 12> kAddressTypes = {{{1 << 0, "UNSPEC"},
                                                        {1 << 1, "UNICAST"},
                                                        {1 << 2, "LOCAL"},
                                                        {1 << 3, "BROADCAST"},
                                                        {1 << 4, "ANYCAST"},
                                                        {1 << 5, "MULTICAST"},
                                                        {1 << 6, "BLACKHOLE"},
                                                        {1 << 7, "UNREACHABLE"},
                                                        {1 << 8, "PROHIBIT"},
                                                        {1 << 9, "THROW"},
                                                        {1 << 10, "NAT"},
                                                        {1 << 11, "XRESOLVE"}}};

/// IPT_ICMP_* and IPT_TCP_RESET of linux/netfilter_ipv4/ipt_REJECT.h; each followed by its alias.
inline constexpr std::array<Word, 16> kRejectsV4 = {{{0, "icmp-net-unreachable"},
                                                     {0, "net-unreach"},
                                                     {1, "icmp-host-unreachable"},
                                                     {1, "host-unreach"},
                                                     {2, "icmp-proto-unreachable"},
                                                     {2, "proto-unreach"},
                                                     {3, "icmp-port-unreachable"},
                                                     {3, "port-unreach"},
                                                     {5, "icmp-net-prohibited"},
                                                     {5, "net-prohib"},
                                                     {6, "icmp-host-prohibited"},
                                                     {6, "host-prohib"},
                                                     {7, "tcp-reset"},
                                                     {7, "tcp-rst"},
                                                     {8, "icmp-admin-prohibited"},
                                                     {8, "admin-prohib"}}};

/// IP6T_ICMP6_* and IP6T_TCP_RESET of linux/netfilter_ipv6/ip6t_REJECT.h.
inline constexpr std::array<Word, 13> kRejectsV6 = {{{0, "icmp6-no-route"},
                                                     {0, "no-route"},
                                                     {1, "icmp6-adm-prohibited"},
                                                     {1, "adm-prohibited"},
                                                     {3, "icmp6-addr-unreachable"},
                                                     {3, "addr-unreach"},
                                                     {4, "icmp6-port-unreachable"},
                                                     {4, "port-unreach"},
                                                     {6, "tcp-reset"},
                                                     {7, "icmp6-policy-fail"},
                                                     {7, "policy-fail"},
                                                     {8, "icmp6-reject-route"},
                                                     {8, "reject-route"}}};

/// Bits of linux/netfilter/xt_LOG.h and their options, in the order in which they are written.
inline constexpr std::array<Word, 5> kLogFlags = {{{1, "--log-tcp-sequence"},
                                                   {2, "--log-tcp-options"},
                                                   {4, "--log-ip-options"},
                                                   {8, "--log-uid"},
                                                   {0x20, "--log-macdecode"}}};

/// Units of `--limit`, longest first, and the cost of one packet at a rate of one (1/10000 s).
inline constexpr std::array<Word, 4> kLimitUnits = {
    {{864'000'000, "day"}, {36'000'000, "hour"}, {600'000, "min"}, {10'000, "sec"}}};

/// The name that iptables-save writes for a protocol number; nullopt where it writes the number.
std::optional<std::string_view> protocol_name(uint8_t protocol);
/// The other way round, aliases and "all" (0) included; `name` in small letters.
std::optional<uint8_t> protocol_number(std::string_view name);

}  // namespace tails::ruleset::text
