#pragma once

#include <chrono>
#include <optional>

#include "net/packet.h"
#include "net/result.h"

/// Entries of the connection tracking table of the namespace that the calling thread is in.
namespace tails::testbed {

/// A flow as conntrack knows it. ICMP has no ports; the entry is of an echo with identifier 1.
struct FlowEntry {
  uint8_t protocol = protocol::kTcp;
  Endpoint source;                ///< Of the packet that opened it.
  Endpoint destination;           ///< Before NAT.
  std::optional<Endpoint> nat{};  ///< The destination that NAT gave it.
  bool has_reply = true;          ///< Packets of it are ESTABLISHED; else NEW (TCP: in SYN_SENT).
  std::chrono::seconds lifetime{300};
};

/// Makes the entry as if its packets had passed; fails where one with these addresses exists.
Result<void> insert_flow(const FlowEntry& flow);

/// The destination that NAT gave the flow which `packet` opened or is part of in its own direction; nullopt where there
/// is no such flow or it goes where it was sent.
std::optional<Endpoint> nat_of_flow(const Packet& packet);

/// Makes conntrack expect `packet`, as a helper for FTP would after a look into a control connection: when it comes, it
/// is RELATED. TCP and UDP. Fails where the kernel has no FTP helper.
Result<void> expect_packet(const Packet& packet);

/// Forgets every flow.
Result<void> flush_flows();

}  // namespace tails::testbed
