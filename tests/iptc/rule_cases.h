#pragma once

#include <array>
#include <ostream>
#include <string_view>

#include "net/address.h"

/// Rules in iptables-save's own form, one for each option of each extension that we write: what the real tools make of
/// them must come through decoder and encoder unharmed.
namespace tails::iptc {

inline constexpr std::string_view kFilterV4 = R"(*filter
:INPUT DROP [5:300]
:FORWARD ACCEPT [0:0]
:OUTPUT DROP [0:0]
:lan - [0:0]
:log_reject - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT ! -i eth+ -j DROP
-A INPUT -i + -j RETURN
-A INPUT -s 10.0.0.0/8 -d 192.0.2.1/32 -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 ! -d 192.0.2.0/255.0.255.0 -j ACCEPT
-A INPUT -f -j DROP
-A INPUT ! -f -j DROP
-A INPUT ! -p tcp -j DROP
-A INPUT -p gre -j DROP
-A INPUT -p tcp -m tcp --sport 1:1023 --dport 65535 -j ACCEPT
-A INPUT -p tcp -m tcp ! --sport 80 ! --dport 1000:2000 -j ACCEPT
-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN --tcp-option 7 -j ACCEPT
-A INPUT -p tcp -m tcp ! --tcp-option 8
-A INPUT -p udp -m udp --sport 53 ! --dport 1:10
-A INPUT -p icmp -m icmp --icmp-type 3/4 -j ACCEPT
-A INPUT -p icmp -m icmp ! --icmp-type 8
-A INPUT -p icmp -m icmp --icmp-type any -j ACCEPT
-A INPUT -p tcp -m multiport --dports 1,2,3:65535 -j ACCEPT
-A INPUT -p udp -m multiport ! --sports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
-A INPUT -p tcp -m multiport --ports 80,443
-A INPUT -m state --state NEW,ESTABLISHED -j ACCEPT
-A INPUT -m state ! --state INVALID -j ACCEPT
-A INPUT -m state --state RELATED,UNTRACKED
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack ! --ctstate NEW,SNAT,DNAT,UNTRACKED
-A INPUT -m conntrack --ctstatus ASSURED,CONFIRMED --ctdir REPLY
-A INPUT -m conntrack ! --ctstatus NONE --ctdir ORIGINAL
-A INPUT -m conntrack --ctstate INVALID --ctstatus EXPECTED,SEEN_REPLY
-A INPUT -m limit --limit 20/sec --limit-burst 100
-A INPUT -m limit --limit 3/hour
-A INPUT -m mark --mark 0x10/0xf0 -j ACCEPT
-A INPUT -m mark ! --mark 0x1
-A INPUT -m connmark --mark 0x10/0xf0 -j ACCEPT
-A INPUT -m connmark ! --mark 0x1
-A INPUT -m addrtype --dst-type LOCAL
-A INPUT -m addrtype ! --src-type UNICAST,BROADCAST --dst-type MULTICAST
-A INPUT -m addrtype --src-type LOCAL --limit-iface-in
-A INPUT -m dscp --dscp 0x2e
-A INPUT -m dscp ! --dscp 0x00
-A INPUT -m comment --comment plain
-A INPUT -m comment --comment "two words and \"quotes\"" -j ACCEPT
-A FORWARD -i eth0 -o veth-clearnet -j ACCEPT
-A FORWARD -g lan
-A OUTPUT -m owner --uid-owner 1000 -j ACCEPT
-A OUTPUT -m owner ! --uid-owner 1000-2000 --gid-owner 5
-A OUTPUT -m owner ! --gid-owner 7-8
-A OUTPUT -m owner --socket-exists
-A OUTPUT -m owner ! --socket-exists
-A OUTPUT -m owner --gid-owner 9 --suppl-groups
-A OUTPUT -o lo -p tcp -m tcp --dport 9050 --tcp-flags FIN,SYN,RST,ACK SYN -m owner --uid-owner 105 -m state --state NEW -j ACCEPT
-A OUTPUT -d 10.0.0.0/8 -j lan
-A OUTPUT -j log_reject
-A lan -p tcp -m tcp --dport 53 -j REJECT --reject-with icmp-port-unreachable
-A lan -p tcp -j REJECT --reject-with tcp-reset
-A lan -j REJECT --reject-with icmp-admin-prohibited
-A lan -j RETURN
-A log_reject -m limit --limit 5/min -j LOG --log-prefix "Dropped outbound packet: " --log-level 7 --log-uid
-A log_reject -j LOG --log-level 0 --log-tcp-sequence --log-tcp-options --log-ip-options --log-macdecode
-A log_reject -j NFLOG --nflog-prefix "blocked " --nflog-group 5 --nflog-threshold 3
-A log_reject -j NFLOG --nflog-group 7 --nflog-size 128
-A log_reject -j MARK --set-xmark 0x10/0xff
-A log_reject -j CONNMARK --set-xmark 0x10/0xff
-A log_reject -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff00
-A log_reject -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
-A log_reject
-A log_reject -j DROP
COMMIT
)";

inline constexpr std::string_view kNatV4 = R"(*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
-A PREROUTING -i eth0 -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 8080-8090 --random
-A PREROUTING -i eth1 -j REDIRECT
-A PREROUTING -p tcp -j DNAT --to-destination 192.0.2.1:80
-A PREROUTING -p tcp -j DNAT --to-destination 192.0.2.1-192.0.2.9:80-90 --random --persistent
-A PREROUTING -j DNAT --to-destination 192.0.2.7
-A OUTPUT -d 127.192.0.0/10 -o lo -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j REDIRECT --to-ports 9040
-A OUTPUT -d 127.0.0.1/32 -o lo -p udp -m udp --dport 53 -j REDIRECT --to-ports 5353
-A POSTROUTING -s 10.200.1.16/30 -j MASQUERADE
-A POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2048 --random
-A POSTROUTING -j MASQUERADE --random-fully
COMMIT
)";

inline constexpr std::string_view kMangleV4 = R"(*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A OUTPUT -m owner --uid-owner 105 -j DSCP --set-dscp 0x0a
-A OUTPUT -j MARK --set-xmark 0x0/0xffffffff
-A POSTROUTING -m owner --uid-owner 0 -j DSCP --set-dscp 0x3f
COMMIT
)";

inline constexpr std::string_view kRawV4 = R"(*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i lo -j ACCEPT
-A OUTPUT -m owner --uid-owner 105 -j DROP
COMMIT
)";

inline constexpr std::string_view kFilterV6 = R"(*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT DROP [0:0]
:chain - [0:0]
-A INPUT -s ::1/128 -d ::1/128 -i lo -j ACCEPT
-A INPUT ! -s 2001:db8::/32 ! -d fe80::/10 ! -i eth+ -j DROP
-A INPUT -s 2001:db8::/ffff:0:ffff:: -j DROP
-A INPUT ! -p tcp -j DROP
-A INPUT -p tcp -m tcp --dport 4101 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT
-A INPUT -p udp -m udp ! --sport 53
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 1/4 -j ACCEPT
-A INPUT -p ipv6-icmp -m icmp6 ! --icmpv6-type 128 -j ACCEPT
-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 255
-A INPUT -p tcp -m multiport --dports 1,2,3:65535 -j ACCEPT
-A INPUT -p tcp -m state --state ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED --ctdir REPLY
-A INPUT -m limit --limit 20/sec --limit-burst 100
-A INPUT -m mark --mark 0x10/0xf0 -m connmark ! --mark 0x1
-A INPUT -m addrtype ! --src-type UNICAST --dst-type LOCAL
-A INPUT -m dscp --dscp 0x2e -m comment --comment "here too"
-A FORWARD -g chain
-A OUTPUT -o lo -m owner --uid-owner 1000 -j ACCEPT
-A OUTPUT -j LOG --log-prefix "Dropped outbound packet: " --log-level 7 --log-uid
-A OUTPUT -j NFLOG --nflog-prefix x --nflog-group 5
-A OUTPUT -j REJECT --reject-with icmp6-port-unreachable
-A OUTPUT -p tcp -j REJECT --reject-with tcp-reset
-A chain -j CONNMARK --set-xmark 0x10/0xff
-A chain -j MARK --set-xmark 0x10/0xff
-A chain -j RETURN
COMMIT
)";

inline constexpr std::string_view kNatV6 = R"(*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -j DNAT --to-destination [2001:db8::1]:80
-A PREROUTING -j DNAT --to-destination 2001:db8::1-2001:db8::9 --persistent
-A OUTPUT -o lo -p tcp -j REDIRECT --to-ports 9040
-A POSTROUTING -p tcp -j MASQUERADE --to-ports 1024-2048
-A POSTROUTING -j MASQUERADE
COMMIT
)";

inline constexpr std::string_view kMangleV6 = R"(*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A OUTPUT -m owner --uid-owner 105 -j DSCP --set-dscp 0x0a
COMMIT
)";

/// Rules that we do not model: they must stay what they are, as opaque matches and targets.
inline constexpr std::string_view kForeignV4 = R"(*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m ttl --ttl-eq 5 -j ACCEPT
-A INPUT -m recent --update --seconds 60 --name DEFAULT --mask 255.255.255.255 --rsource -j DROP
-A INPUT -m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name h -j ACCEPT
-A INPUT -m conntrack --ctorigsrc 192.0.2.1 -j ACCEPT
-A INPUT -m conntrack --ctproto 6 --ctorigdstport 80 --ctstate NEW -j ACCEPT
-A INPUT -m conntrack --ctexpire 5:10
-A INPUT -m conntrack ! --ctproto 6
-A INPUT -m statistic --mode random --probability 0.50000000000
-A INPUT -m quota --quota 1000 -j ACCEPT
-A INPUT -m string --string "GET" --algo bm -j DROP
-A INPUT -m iprange --src-range 192.0.2.1-192.0.2.7
-A INPUT -m length --length 0:100
-A INPUT -j NFQUEUE --queue-num 3
-A INPUT -j NFLOG --nflog-range 5
-A OUTPUT -j CONNMARK --set-xmark 0x1/0xff --left-shift-mark 2
COMMIT
)";

/// What a test of one table's rules has as its parameter.
struct Case {
  Family family;
  std::string_view table;
  std::string_view text;
};
inline void PrintTo(const Case& c, std::ostream* out) {
  *out << (c.family == Family::kIpv4 ? "IPv4 " : "IPv6 ") << c.table;
}

}  // namespace tails::iptc
