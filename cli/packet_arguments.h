#pragma once

#include <array>

#include "cli/command.h"
#include "net/packet.h"
#include "policy/environment.h"
#include "policy/policy.h"

namespace tails::cli {

/// The options that describe a packet which this machine sends.
inline constexpr std::array kPacketOptions{
    OptionSpec{.name = "--user",
               .value = "U|none",
               .help = "Whose socket sends it: a name, a number, or none for a packet without a socket",
               .completion = Completion::kUser},
    OptionSpec{.name = "--to", .value = "ADDR", .help = "Where it goes: IPv4 or IPv6"},
    OptionSpec{
        .name = "--proto", .value = "P", .help = "tcp, udp, icmp or a number (default: tcp, or icmp with --type)"},
    OptionSpec{.name = "--port", .value = "N", .help = "Destination port (default: 53 for udp, else 443)"},
    OptionSpec{.name = "--from",
               .value = "ADDR",
               .help = "Source address (default: the destination's on loopback, else a documentation address)"},
    OptionSpec{.name = "--sport", .value = "N", .help = "Source port", .fallback = "40000"},
    OptionSpec{
        .name = "--state", .value = "S", .help = "NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED", .fallback = "NEW"},
    OptionSpec{.name = "--reply", .help = "It goes the way of the answers in its flow, not of the first packet"},
    OptionSpec{.name = "--via",
               .value = "IF",
               .help = "Output interface (default: lo to this machine's own addresses, a namespace's cable to its "
                       "guest, else eth0)",
               .completion = Completion::kInterface},
    OptionSpec{.name = "--type", .value = "T/C", .help = "ICMP type and code (default: echo request)"},
    OptionSpec{
        .name = "--packet",
        .value = "FILE",
        .help =
            "The whole packet as JSON, as prove and diff print it, instead of the options above; - is standard input",
        .completion = Completion::kFile},
};

/// What the packet's defaults depend on.
struct PacketContext {
  const GlobalOptions& global;
  const std::vector<policy::User>& accounts;
  const policy::Policy* policy = nullptr;  ///< Its namespaces are known; may be null.
  const policy::Environment& environment;
  const std::vector<IpAddress>& own_addresses;  ///< Of this machine.
};

/// The packet that the options describe: --packet, or --user and --to and what goes with them, then at OUTPUT. What is
/// not given gets the value that the help names; TCP is a SYN where it is NEW or RELATED, else an ACK. kUsage when the
/// options make no packet.
Result<Packet> packet_of(const Arguments& arguments, const PacketContext& context);

/// Addresses of this machine's interfaces; empty where the kernel does not tell.
std::vector<IpAddress> own_addresses();

}  // namespace tails::cli
