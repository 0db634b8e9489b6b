#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "net/result.h"

namespace tails::fastpath::dpdk {

/// A port as a person names it, in DPDK's words. Plain value.
struct PortName {
  std::string device;                      ///< What DPDK calls it once it is there.
  std::vector<std::string> eal_arguments;  ///< What makes it be there.
  std::string interface;                   ///< The kernel's interface behind it; empty where there is none.
  bool is_pci = false;
};

/// Reads "0000:03:00.0" (a NIC bound to DPDK), "eth1" or "af_packet:eth1" (the kernel's interface by AF_PACKET),
/// "af_xdp:eth1" (by AF_XDP), "tap:NAME" (makes that interface), or any virtual device with its own arguments,
/// "net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap". `role` keeps two ports of one driver apart: "inside".
/// kUsage where it is none of these.
Result<PortName> read_port_name(std::string_view text, std::string_view role);

}  // namespace tails::fastpath::dpdk
