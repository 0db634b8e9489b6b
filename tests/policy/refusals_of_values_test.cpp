// What the values of a policy may not be: ports, addresses, networks, namespaces, rates, paths. Each refusal word for
// word.
#include <array>

#include "tests/policy/refusals.h"

namespace tails::testing {
namespace {

// clang-format off
constexpr std::array kCasesOfValues = {
    RefusalCase{"UnknownProtocolWithANearOne", SERVICE R"(ports = ["tpc/9050"]
)", R"(policy.toml:5:11: "tpc/9050" does not start with a protocol
    5 | ports = ["tpc/9050"]
      |          ^~~~~~~~~~ did you mean "tcp/9050"?
)"},
    RefusalCase{"UnknownProtocolWithoutANearOne", SERVICE R"(ports = ["icmp"]
)", R"(policy.toml:5:11: "icmp" does not start with a protocol
    5 | ports = ["icmp"]
      |          ^~~~~~ Write "tcp/9050", "udp/6000-6010", or "tcp" for any port.
)"},
    RefusalCase{"PortZero", SERVICE R"(ports = ["tcp/0"]
)", R"(policy.toml:5:11: port 0 cannot be used
    5 | ports = ["tcp/0"]
      |          ^~~~~~~ Ports go from 1 to 65535; "tcp" alone means any.
)"},
    RefusalCase{"PortOver65535", SERVICE R"(ports = ["udp/65536"]
)", R"(policy.toml:5:11: port 65536 is over 65535
    5 | ports = ["udp/65536"]
      |          ^~~~~~~~~~~ Ports go from 1 to 65535.
)"},
    RefusalCase{"PortFarOver65535", SERVICE R"(ports = ["udp/99999999999999999999"]
)", R"(policy.toml:5:11: port 99999999999999999999 is over 65535
    5 | ports = ["udp/99999999999999999999"]
      |          ^~~~~~~~~~~~~~~~~~~~~~~~~~ Ports go from 1 to 65535.
)"},
    RefusalCase{"EmptyRange", SERVICE R"(ports = ["tcp/6010-6000"]
)", R"(policy.toml:5:11: the range 6010-6000 is empty
    5 | ports = ["tcp/6010-6000"]
      |          ^~~~~~~~~~~~~~~ did you mean "tcp/6000-6010"?
)"},
    RefusalCase{"NoPort", SERVICE R"(ports = ["tcp/"]
)", R"(policy.toml:5:11: "tcp/" names no port
    5 | ports = ["tcp/"]
      |          ^~~~~~ Write a number or a range: "tcp/9050", "tcp/6000-6010".
)"},
    RefusalCase{"HalfARange", SERVICE R"(ports = ["tcp/1-"]
)", R"(policy.toml:5:11: "tcp/1-" names no port
    5 | ports = ["tcp/1-"]
      |          ^~~~~~~~ Write a number or a range: "tcp/9050", "tcp/6000-6010".
)"},
    RefusalCase{"PortByName", SERVICE R"(ports = ["tcp/http"]
)", R"(policy.toml:5:11: "tcp/http" names no port
    5 | ports = ["tcp/http"]
      |          ^~~~~~~~~~ Write a number or a range: "tcp/9050", "tcp/6000-6010".
)"},
    RefusalCase{"SignedPort", SERVICE R"(ports = ["tcp/+80"]
)", R"(policy.toml:5:11: "tcp/+80" names no port
    5 | ports = ["tcp/+80"]
      |          ^~~~~~~~~ Write a number or a range: "tcp/9050", "tcp/6000-6010".
)"},
    RefusalCase{"SourcePortZero", SERVICE R"(ports = ["tcp/1"]
from = ["0"]
)", R"(policy.toml:6:10: port 0 cannot be used
    6 | from = ["0"]
      |         ^~~ Ports go from 1 to 65535.
)"},
    RefusalCase{"SourcePortsOfAnotherProtocol", SERVICE R"(ports = ["tcp/1", "udp/1"]
from = ["tcp/31000"]
)", R"(policy.toml:6:10: "tcp/31000" cannot be where "udp/1" comes from
    6 | from = ["tcp/31000"]
      |         ^~~~~~~~~~~ Write one service for each protocol.
)"},
    RefusalCase{"SourcePortsWithoutAPort", SERVICE R"(ports = ["tcp/1"]
from = ["tcp"]
)", R"(policy.toml:6:10: "tcp" names no port
    6 | from = ["tcp"]
      |         ^~~~~ Write a number or a range: "9050", "6000-6010".
)"},
    RefusalCase{"ServiceNotOnLoopback", R"([[service]]
name = "A"
at = "192.0.2.1"
ports = ["tcp/1"]
)", R"(policy.toml:4:7: 192.0.2.1 is no loopback address
    4 | at = "192.0.2.1"
      |      ^~~~~~~~~~~ A service is at an address of 127.0.0.0/8 or at ::1.
)"},
    RefusalCase{"ServiceAtNoAddress", R"([[service]]
name = "A"
at = "localhost"
ports = ["tcp/1"]
)", R"(policy.toml:4:7: "localhost" is no IP address
    4 | at = "localhost"
      |      ^~~~~~~~~~~
)"},
    RefusalCase{"ServiceAtAnAutomapAddress", TOR R"(trans_port = 9040
automap = "127.192.0.0/10"
)" LIVE R"([[service]]
name = "A"
at = "127.200.0.1"
ports = ["tcp/1"]
allow = ["root"]
)", R"(policy.toml:11:7: 127.200.0.1 is an automap address (127.192.0.0/10)
   11 | at = "127.200.0.1"
      |      ^~~~~~~~~~~~~ TCP to it goes to Tor; use another address of 127.0.0.0/8.
)"},
    RefusalCase{"DuplicateServiceName", SERVICE R"(ports = ["tcp/1"]
)" SERVICE R"(ports = ["tcp/2"]
)", R"(policy.toml:7:9: two services are named "A"
    7 | name = "A"
      |        ^~~ The first is policy.toml:2.
)"},
    RefusalCase{"AllowedAndDenied", SERVICE R"(ports = ["tcp/1"]
allow = ["root", "htp"]
deny = ["htp"]
)", R"(policy.toml:7:10: service "A" both allows and denies user "htp"
    7 | deny = ["htp"]
      |         ^~~~~ Remove it from one of the two lists.
)"},
    RefusalCase{"AllowedAndDeniedByTwoNames", R"([users]
admin = 0
)" SERVICE R"(ports = ["tcp/1"]
allow = ["root"]
deny = ["admin"]
)", R"(policy.toml:9:10: service "A" both allows and denies user "admin" (UID 0, also named "root")
    9 | deny = ["admin"]
      |         ^~~~~~~ Remove it from one of the two lists.
)"},
    RefusalCase{"ConditionOnARelativePath", SERVICE R"(ports = ["tcp/1"]
when = { path = "usr" }
)", R"(policy.toml:6:18: "usr" is no absolute path
    6 | when = { path = "usr" }
      |                 ^~~~~ Write it from the root: "/usr/…".
)"},
    RefusalCase{"ConditionOnNothing", SERVICE R"(ports = ["tcp/1"]
when = {}
)", R"(policy.toml:6:8: when needs the key "path"
    6 | when = {}
      |        ^~
)"},
    RefusalCase{"ConditionOnSomethingElse", SERVICE R"(ports = ["tcp/1"]
when = { user = "root" }
)", R"(policy.toml:6:8: when needs the key "path"
    6 | when = { user = "root" }
      |        ^~~~~~~~~~~~~~~~~
policy.toml:6:10: unknown key "user" in when
    6 | when = { user = "root" }
      |          ^~~~ Known here: path.
)"},
    RefusalCase{"AutomapWithoutTransPort", TOR R"(automap = "127.192.0.0/10"
)" LIVE, R"(policy.toml:5:12: automap needs trans_port
    5 | automap = "127.192.0.0/10"
      |           ^~~~~~~~~~~~~~~~ Name Tor's TransPort under [tor]: trans_port = 9040.
)"},
    RefusalCase{"AutomapWithoutLive", TOR R"(trans_port = 9040
automap = "127.192.0.0/10"
)", R"(policy.toml:6:12: automap needs [live]
    6 | automap = "127.192.0.0/10"
      |           ^~~~~~~~~~~~~~~~ Only the live user gets there: name it under [live].
)"},
    RefusalCase{"AutomapOutsideLoopback", TOR R"(trans_port = 9040
automap = "10.192.0.0/10"
)" LIVE, R"(policy.toml:6:12: automap 10.192.0.0/10 is not inside 127.0.0.0/8
    6 | automap = "10.192.0.0/10"
      |           ^~~~~~~~~~~~~~~ Use Tor's VirtualAddrNetworkIPv4, by default "127.192.0.0/10".
)"},
    RefusalCase{"AutomapWiderThanLoopback", TOR R"(trans_port = 9040
automap = "126.0.0.0/7"
)" LIVE, R"(policy.toml:6:12: automap 126.0.0.0/7 is not inside 127.0.0.0/8
    6 | automap = "126.0.0.0/7"
      |           ^~~~~~~~~~~~~ Use Tor's VirtualAddrNetworkIPv4, by default "127.192.0.0/10".
)"},
    RefusalCase{"AutomapThatHoldsItsTarget", TOR R"(trans_port = 9040
automap = "127.0.0.0/9"
)" LIVE, R"(policy.toml:6:12: automap 127.0.0.0/9 holds 127.0.0.1, to which it redirects
    6 | automap = "127.0.0.0/9"
      |           ^~~~~~~~~~~~~ Use Tor's VirtualAddrNetworkIPv4, by default "127.192.0.0/10".
)"},
    RefusalCase{"AutomapWithHostBits", TOR R"(trans_port = 9040
automap = "127.192.0.1/10"
)" LIVE, R"(policy.toml:6:12: "127.192.0.1/10" has host bits set
    6 | automap = "127.192.0.1/10"
      |           ^~~~~~~~~~~~~~~~ did you mean "127.192.0.0/10"?
)"},
    RefusalCase{"RedirectWithoutDnsPort", TOR R"(redirect_dns = true
)", R"(policy.toml:5:1: redirect_dns needs dns_port
    5 | redirect_dns = true
      | ^~~~~~~~~~~~ Name Tor's DNSPort under [tor]: dns_port = 5353.
)"},
    RefusalCase{"RedirectToItself", TOR R"(redirect_dns = true
dns_port = 53
)", R"(policy.toml:5:1: redirect_dns redirects port 53 to itself
    5 | redirect_dns = true
      | ^~~~~~~~~~~~ Leave redirect_dns out.
)"},
    RefusalCase{"TransPortZero", TOR R"(trans_port = 0
)", R"(policy.toml:5:14: port 0 cannot be used
    5 | trans_port = 0
      |              ^ Ports go from 1 to 65535.
)"},
    RefusalCase{"DnsPortOver65535", TOR R"(dns_port = 65536
)", R"(policy.toml:5:12: port 65536 is over 65535
    5 | dns_port = 65536
      |            ^~~~~ Ports go from 1 to 65535.
)"},
    RefusalCase{"DnsPortNegative", TOR R"(dns_port = -53
)", R"(policy.toml:5:12: port -53 is negative
    5 | dns_port = -53
      |            ^~~ Ports go from 1 to 65535.
)"},
    RefusalCase{"LanWithHostBits", R"([lan]
networks = ["10.0.0.1/8"]
)", R"(policy.toml:3:14: "10.0.0.1/8" has host bits set
    3 | networks = ["10.0.0.1/8"]
      |             ^~~~~~~~~~~~ did you mean "10.0.0.0/8"?
)"},
    RefusalCase{"LanOfIpv6", R"([lan]
networks = ["fd00::/8"]
)", R"(policy.toml:3:14: "fd00::/8" is not IPv4
    3 | networks = ["fd00::/8"]
      |             ^~~~~~~~~~
)"},
    RefusalCase{"LanWithoutLength", R"([lan]
networks = ["10.0.0.0"]
)", R"(policy.toml:3:14: "10.0.0.0" is no network
    3 | networks = ["10.0.0.0"]
      |             ^~~~~~~~~~ Write "10.0.0.0/8".
)"},
    RefusalCase{"LanWithLengthOver32", R"([lan]
networks = ["10.0.0.0/33"]
)", R"(policy.toml:3:14: "10.0.0.0/33" is no network
    3 | networks = ["10.0.0.0/33"]
      |             ^~~~~~~~~~~~~ Write "10.0.0.0/8".
)"},
    RefusalCase{"LanThatHoldsLoopback", R"([lan]
networks = ["0.0.0.0/0"]
)", R"(policy.toml:3:14: 0.0.0.0/0 holds loopback addresses, which are no LAN
    3 | networks = ["0.0.0.0/0"]
      |             ^~~~~~~~~~~ Name private networks (RFC 1918).
)"},
    RefusalCase{"NamespaceNameTooLong", R"([[namespace]]
name = "elevenbytes"
host = "10.0.0.1/30"
)", R"(policy.toml:3:9: the interface name "veth-elevenbytes" has 16 bytes, the kernel takes 15
    3 | name = "elevenbytes"
      |        ^~~~~~~~~~~~~ Choose a name of at most 10 bytes.
)"},
    RefusalCase{"NamespaceNameWithAWildcard", R"([[namespace]]
name = "tbb+"
host = "10.0.0.1/30"
)", R"(policy.toml:3:9: "tbb+" cannot be the name of a namespace
    3 | name = "tbb+"
      |        ^~~~~~ Use letters, digits, '-', '_' and '.', and start with a letter, a digit or '_'.
)"},
    RefusalCase{"NamespaceNameWithASlash", R"([[namespace]]
name = "../x"
host = "10.0.0.1/30"
)", R"(policy.toml:3:9: "../x" cannot be the name of a namespace
    3 | name = "../x"
      |        ^~~~~~ Use letters, digits, '-', '_' and '.', and start with a letter, a digit or '_'.
)"},
    RefusalCase{"NamespaceHostWithoutLength", R"([[namespace]]
name = "a"
host = "10.0.0.1"
)", R"(policy.toml:4:9: "10.0.0.1" is no IPv4 address with its network
    4 | host = "10.0.0.1"
      |        ^~~~~~~~~~ Write the host's address and a length of 8 to 31: "10.200.1.1/30".
)"},
    RefusalCase{"NamespaceHostOfIpv6", R"([[namespace]]
name = "a"
host = "fd00::1/30"
)", R"(policy.toml:4:9: "fd00::1/30" is no IPv4 address with its network
    4 | host = "fd00::1/30"
      |        ^~~~~~~~~~~~ Write the host's address and a length of 8 to 31: "10.200.1.1/30".
)"},
    RefusalCase{"NamespaceHostAlone", R"([[namespace]]
name = "a"
host = "10.0.0.1/32"
)", R"(policy.toml:4:9: "10.0.0.1/32" is no IPv4 address with its network
    4 | host = "10.0.0.1/32"
      |        ^~~~~~~~~~~~~ Write the host's address and a length of 8 to 31: "10.200.1.1/30".
)"},
    RefusalCase{"NamespaceHostIsTheNetwork", R"([[namespace]]
name = "a"
host = "10.0.0.0/30"
)", R"(policy.toml:4:9: 10.0.0.0 leaves no room for the guest in 10.0.0.0/30
    4 | host = "10.0.0.0/30"
      |        ^~~~~~~~~~~~~ The guest is the next address; write "10.0.0.1/30".
)"},
    RefusalCase{"NamespaceGuestIsTheBroadcast", R"([[namespace]]
name = "a"
host = "10.0.0.2/30"
)", R"(policy.toml:4:9: 10.0.0.2 leaves no room for the guest in 10.0.0.0/30
    4 | host = "10.0.0.2/30"
      |        ^~~~~~~~~~~~~ The guest is the next address; write "10.0.0.1/30".
)"},
    RefusalCase{"NamespaceGuestOutside", R"([[namespace]]
name = "a"
host = "10.0.0.1/31"
)", R"(policy.toml:4:9: 10.0.0.1 leaves no room for the guest in 10.0.0.0/31
    4 | host = "10.0.0.1/31"
      |        ^~~~~~~~~~~~~ The guest is the next address; write "10.0.0.0/31".
)"},
    RefusalCase{"NamespaceOnLoopback", R"([[namespace]]
name = "a"
host = "127.0.0.1/30"
)", R"(policy.toml:4:9: 127.0.0.0/30 cannot be the network of a namespace
    4 | host = "127.0.0.1/30"
      |        ^~~~~~~~~~~~~~ Choose a private network (RFC 1918).
)"},
    RefusalCase{"NamespaceOnMulticast", R"([[namespace]]
name = "a"
host = "224.0.0.1/30"
)", R"(policy.toml:4:9: 224.0.0.0/30 cannot be the network of a namespace
    4 | host = "224.0.0.1/30"
      |        ^~~~~~~~~~~~~~ Choose a private network (RFC 1918).
)"},
    RefusalCase{"DuplicateNamespaceName", R"([[namespace]]
name = "a"
host = "10.0.0.1/30"
[[namespace]]
name = "a"
host = "10.0.0.5/30"
)", R"(policy.toml:6:9: two namespaces are named "a"
    6 | name = "a"
      |        ^~~ The first is policy.toml:2.
)"},
    RefusalCase{"OverlappingNamespaces", R"([[namespace]]
name = "a"
host = "10.0.0.1/24"
[[namespace]]
name = "b"
host = "10.0.0.5/30"
)", R"(policy.toml:7:9: namespace "b" (10.0.0.4/30) overlaps namespace "a" (10.0.0.0/24)
    7 | host = "10.0.0.5/30"
      |        ^~~~~~~~~~~~~ The first is policy.toml:2.
)"},
    RefusalCase{"NamespaceOverlapsAnInterface", R"([[namespace]]
name = "a"
host = "10.7.0.1/30"
)", R"(policy.toml:4:9: namespace "a" (10.7.0.0/30) overlaps 10.7.0.0/16, the network of eth0
    4 | host = "10.7.0.1/30"
      |        ^~~~~~~~~~~~~ Choose a network that this machine does not use.
)"},
    RefusalCase{"UnknownLog", R"([blocked]
log = "syslog"
)", R"(policy.toml:3:8: "syslog" is no place to log to
    3 | log = "syslog"
      |       ^~~~~~~~ Write "kernel", "nflog:5" (a group from 0 to 65535) or "none".
)"},
    RefusalCase{"NflogGroupOver65535", R"([blocked]
log = "nflog:65536"
)", R"(policy.toml:3:8: "nflog:65536" is no place to log to
    3 | log = "nflog:65536"
      |       ^~~~~~~~~~~~~ Write "kernel", "nflog:5" (a group from 0 to 65535) or "none".
)"},
    RefusalCase{"UnknownAnswer", R"([blocked]
answer = "refuse"
)", R"(policy.toml:3:11: "refuse" is no answer to a blocked packet
    3 | answer = "refuse"
      |          ^~~~~~~~ Write "reject" or "drop".
)"},
    RefusalCase{"PrefixTooLong", R"([blocked]
prefix = "Thirty bytes are one too many:"
)", R"(policy.toml:3:11: the prefix has 30 bytes, the kernel takes 29
    3 | prefix = "Thirty bytes are one too many:"
      |          ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ Shorten it.
)"},
    RefusalCase{"PrefixTooLongForNflog", R"([blocked]
log = "nflog:5"
prefix = "Sixty-four bytes are one too many even for NFLOG, which has room:"
)", R"(policy.toml:4:11: the prefix has 65 bytes, the kernel takes 63
    4 | prefix = "Sixty-four bytes are one too many even for NFLOG, which has room:"
      |          ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ Shorten it.
)"},
    RefusalCase{"PrefixWithANewline", R"([blocked]
prefix = "a\nb"
)", R"(policy.toml:3:11: the prefix has a control character
    3 | prefix = "a\nb"
      |          ^~~~~~ Use what can be printed.
)"},
    RefusalCase{"RateWithoutAUnit", R"([blocked]
log_limit = "20"
)", R"(policy.toml:3:14: "20" is no rate
    3 | log_limit = "20"
      |             ^~~~ Write "20/second" or "20/minute burst 100".
)"},
    RefusalCase{"RateOfAnUnknownUnit", R"([blocked]
log_limit = "20/fortnight"
)", R"(policy.toml:3:14: "20/fortnight" is no rate
    3 | log_limit = "20/fortnight"
      |             ^~~~~~~~~~~~~~ Write "20/second" or "20/minute burst 100".
)"},
    RefusalCase{"RateOfZero", R"([blocked]
log_limit = "0/second"
)", R"(policy.toml:3:14: a rate of 0 would log nothing
    3 | log_limit = "0/second"
      |             ^~~~~~~~~~ To log nothing, say log = "none".
)"},
    RefusalCase{"RateTooFast", R"([blocked]
log_limit = "10001/second"
)", R"(policy.toml:3:14: 10001/second is faster than the kernel can count
    3 | log_limit = "10001/second"
      |             ^~~~~~~~~~~~~~ At most 10000/second.
)"},
    RefusalCase{"BurstOfZero", R"([blocked]
log_limit = "20/second burst 0"
)", R"(policy.toml:3:14: a burst of 0 cannot be used
    3 | log_limit = "20/second burst 0"
      |             ^~~~~~~~~~~~~~~~~~~ A burst goes from 1 to 10000.
)"},
    RefusalCase{"BurstOverADay", R"([blocked]
log_limit = "1/day"
)", R"(policy.toml:3:14: a burst of 5 at 1/day spans more than a day
    3 | log_limit = "1/day"
      |             ^~~~~~~ The kernel cannot count that far: lower the burst or raise the rate.
)"},
    RefusalCase{"BurstThatIsNoNumber", R"([blocked]
log_limit = "20/second burst many"
)", R"(policy.toml:3:14: "20/second burst many" is no rate
    3 | log_limit = "20/second burst many"
      |             ^~~~~~~~~~~~~~~~~~~~~~ Write "20/second" or "20/minute burst 100".
)"},
    RefusalCase{"ResolverThatIsNoAddress", R"([host]
resolver = "localhost"
)", R"(policy.toml:3:13: "localhost" is no IP address
    3 | resolver = "localhost"
      |            ^~~~~~~~~~~
)"},
    RefusalCase{"ResolverFileWithARelativePath", R"([host]
clearnet_resolver_file = "resolv.conf"
)", R"(policy.toml:3:27: "resolv.conf" is no absolute path
    3 | clearnet_resolver_file = "resolv.conf"
      |                          ^~~~~~~~~~~~~ Write it from the root: "/etc/…".
)"},
    RefusalCase{"SysctlThatClimbsOut", R"([host]
sysctl = { "net/../../x" = 1 }
)", R"(policy.toml:3:12: "net/../../x" is no name of a sysctl
    3 | sysctl = { "net/../../x" = 1 }
      |            ^~~~~~~~~~~~~ Write it with dots: "net.ipv4.tcp_mtu_probing".
)"},
    RefusalCase{"SysctlOfWrongType", R"([host]
sysctl = { "net.ipv4.tcp_mtu_probing" = "1" }
)", R"(policy.toml:3:42: expected an integer, found a string
    3 | sysctl = { "net.ipv4.tcp_mtu_probing" = "1" }
      |                                         ^~~
)"},
    RefusalCase{"PassOfSomethingElse", R"([wire]
pass = ["arp", "dns"]
)", R"(policy.toml:3:17: "dns" is nothing that can be passed
    3 | pass = ["arp", "dns"]
      |                ^~~~~ Write "arp" or "dhcp".
)"},
};
// clang-format on

}  // namespace

INSTANTIATE_TEST_SUITE_P(Values, Refusal, ::testing::ValuesIn(kCasesOfValues), name_of);

}  // namespace tails::testing
