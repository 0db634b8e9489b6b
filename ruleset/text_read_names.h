#pragma once

#include <cstdint>

#include "net/address.h"
#include "ruleset/match.h"
#include "ruleset/text_token.h"

/// Words that are only read: iptables-save writes the numbers.
namespace tails::ruleset::text {

/// "8", "3/1", "3/1:5", "any" (IPv4), "echo-request" or the beginning of one name only.
Read<IcmpMatch> read_icmp_type(const Token& at, Family family);

/// "EF", "AF11", "CS1", "BE": 0..63.
Read<uint8_t> read_dscp_class(const Token& at);

/// "debug", "7": a priority of syslog(3).
Read<uint8_t> read_log_level(const Token& at);

}  // namespace tails::ruleset::text
