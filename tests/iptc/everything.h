#pragma once

#include <string_view>

#include "policy/policy.h"

namespace tails::iptc {

/// A policy with every kind of entry there is: its rules use every match and target that lowering writes.
inline constexpr std::string_view kEverything = R"(schema = 1
name = "everything"

[users]
amnesia = 1000

[tor]
user = "debian-tor"
out = ["tcp"]
trans_port = 9040
dns_port = 5353
redirect_dns = true
automap = "127.192.0.0/10"

[live]
user = "amnesia"

[[direct]]
user = "clearnet"
out = ["tcp/80", "tcp/443", "tcp/8080-8090", "udp/53", "udp/123"]
lan_dns = true

[[direct]]
user = "htp"
out = ["tcp/443"]
lan = false

[lan]
networks = ["10.0.0.0/8", "192.168.0.0/16"]
closed = ["tcp/53", "udp/53", "udp/137-138"]

[[service]]
name = "Tor"
at = "127.0.0.1"
ports = ["tcp/9050", "tcp/9061-9063", "tcp/9150", "udp/53"]
allow = ["amnesia", "_apt"]
deny = ["nobody"]

[[service]]
name = "from two ranges"
at = "127.0.0.1"
ports = ["tcp/1000", "tcp/2000-2010"]
from = ["31000-31002", "tcp/32000"]
allow = ["root"]

[[service]]
name = "many"
at = "127.0.0.1"
ports = ["tcp/1", "tcp/3", "tcp/5", "tcp/7", "tcp/9", "tcp/11", "tcp/13", "tcp/15", "tcp/17", "tcp/19", "tcp/21",
         "tcp/23", "tcp/25", "tcp/27", "tcp/29", "tcp/31", "tcp/33-35"]
allow = ["proxy"]

[[service]]
name = "IPv6"
at = "::1"
ports = ["tcp/9050", "tcp/9062", "udp/5353"]
allow = ["amnesia"]

[[namespace]]
name = "guest"
host = "10.200.1.1/30"
services = ["tcp/9050", "tcp/951"]
internet = true

[[namespace]]
name = "other"
host = "10.200.1.5/30"
services = ["tcp/951"]

[states]
related_icmp_on_loopback = true

[blocked]
log = "nflog:7"
prefix = "a prefix longer than LOG can hold: "
answer = "reject"
log_limit = "20/second burst 100"
)";

/// `kEverything`, read. Aborts where it does not load.
policy::Policy everything();

}  // namespace tails::iptc
