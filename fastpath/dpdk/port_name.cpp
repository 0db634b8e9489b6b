#include "fastpath/dpdk/port_name.h"

#include <algorithm>

#include "net/interface_name.h"

namespace tails::fastpath::dpdk {
namespace {

bool are_hex(std::string_view text, size_t least, size_t most) {
  return text.size() >= least && text.size() <= most && std::ranges::all_of(text, [](char c) {
           return std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos;
         });
}

/// "0000:03:00.0" for "03:00.0"; empty where it is no PCI address.
std::string pci_address(std::string_view text) {
  if (std::ranges::count(text, ':') == 1) return pci_address("0000:" + std::string(text));
  if (std::ranges::count(text, ':') != 2) return {};
  const size_t first = text.find(':'), second = text.find(':', first + 1), dot = text.find('.', second);
  if (dot == std::string_view::npos) return {};
  const bool is_one = are_hex(text.substr(0, first), 4, 8) &&
                      are_hex(text.substr(first + 1, second - first - 1), 2, 2) &&
                      are_hex(text.substr(second + 1, dot - second - 1), 2, 2) && are_hex(text.substr(dot + 1), 1, 1);
  return is_one ? std::string(text) : std::string();
}

PortName virtual_port(std::string device, const std::string& arguments, std::string interface) {
  std::string all = device + (arguments.empty() ? "" : "," + arguments);
  return {std::move(device), {"--vdev", std::move(all)}, std::move(interface), false};
}

}  // namespace

Result<PortName> read_port_name(std::string_view text, std::string_view role) {
  if (text.starts_with("net_")) {
    const size_t comma = text.find(',');
    return virtual_port(std::string(text.substr(0, comma)),
                        comma == std::string_view::npos ? "" : std::string(text.substr(comma + 1)), "");
  }
  if (std::string address = pci_address(text); !address.empty()) return PortName{address, {"-a", address}, "", true};

  const size_t colon = text.find(':');
  const std::string_view driver = colon == std::string_view::npos ? "af_packet" : text.substr(0, colon);
  const std::string interface(colon == std::string_view::npos ? text : text.substr(colon + 1));
  if (InterfaceName::make(interface)) {
    const std::string device = "net_" + std::string(driver) + "_" + std::string(role);
    // A frame's place in the ring holds 2,048 bytes with its header; the ring, some milliseconds of a fast link.
    if (driver == "af_packet") return virtual_port(device, "iface=" + interface + ",framecnt=2048", interface);
    if (driver == "af_xdp") return virtual_port(device, "iface=" + interface, interface);
    if (driver == "tap") return virtual_port(device, "iface=" + interface, interface);
  }
  return fail(
      ErrorKind::kUsage, "\"" + std::string(text) + "\" is no port",
      "A port is a PCI address (0000:03:00.0), an interface (eth1, af_xdp:eth1, tap:NAME) or a virtual device of "
      "DPDK (net_pcap0,iface=eth1).");
}

}  // namespace tails::fastpath::dpdk
