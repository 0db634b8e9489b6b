#pragma once

#include <string>
#include <string_view>

#include "net/ids.h"
#include "net/result.h"
#include "policy/policy.h"

/// The small notations inside a policy's strings. Pure; the caller adds the place to what is wrong.
namespace tails::policy {

/// What is wrong with a string, and the way out.
struct Wrong {
  std::string message;
  std::string remedy;
};

/// "tcp/9050", "udp/137-138", "tcp" (any port). Ports 1 to 65535.
Result<PortGrant, Wrong> parse_port_grant(std::string_view text);

/// "tcp/9050" and so on: what parse_port_grant reads.
std::string to_string(const PortGrant& grant);

/// Source ports: "31000", "31000-31002". Ports 1 to 65535.
Result<PortRange, Wrong> parse_port_range(std::string_view text);

/// "20/second", "20/minute burst 100": per second, minute, hour or day; 1 to 10,000 per second at most, a burst of 1 to
/// 10,000 (5 when not said), as iptables-extensions(8) "limit" bounds them; a whole burst within a day.
Result<ruleset::LimitMatch, Wrong> parse_rate(std::string_view text);

}  // namespace tails::policy
