#pragma once

#include <optional>

#include "cli/command.h"
#include "policy/environment.h"

/// The options that `conntrack list` and `conntrack flush` share.
namespace tails::cli {

inline constexpr OptionSpec kUserOption{
    .name = "--user", .value = "U", .help = "Only flows that this user opened", .completion = Completion::kUser};
inline constexpr OptionSpec kToOption{
    .name = "--to", .value = "PREFIX", .help = "Only flows to this address or network, as it was before NAT"};
inline constexpr OptionSpec kFromOption{
    .name = "--from", .value = "PREFIX", .help = "Only flows from this address or network"};
inline constexpr OptionSpec kProtocolOption{.name = "--proto", .value = "P", .help = "Only flows of this protocol"};
inline constexpr OptionSpec kMarkOption{
    .name = "--mark", .value = "M[/MASK]", .help = "Only flows with this mark (CONNMARK)"};
inline constexpr OptionSpec kZoneOption{.name = "--zone", .value = "Z", .help = "Only flows in this conntrack zone"};

/// --user as a number; kUsage where there is no such account.
Result<std::optional<Uid>> flow_user(const Invocation& invocation, const policy::Environment& environment);

}  // namespace tails::cli
