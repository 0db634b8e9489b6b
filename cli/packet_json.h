#pragma once

#include <string_view>

#include "net/packet.h"
#include "net/result.h"

namespace tails::cli {

/// A packet as the JSON of `prove`, `diff` and `explain` describes it (docs/cli.md, "packet"), alone or as the value of
/// a key "packet" or "counterexample". Keys that are null or absent have their usual value: no owner, NEW, original,
/// SYN where TCP opens a flow and else ACK, mark 0. kUsage with the key where the text is no JSON or no packet.
Result<Packet> parse_packet_json(std::string_view text);

}  // namespace tails::cli
