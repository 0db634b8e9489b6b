#include "fastpath/dpdk/port_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fastpath/dpdk/eal.h"

namespace tails::fastpath::dpdk {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

TEST(PortName, AnInterfaceIsTakenByAfPacketUnlessItSaysOtherwise) {
  const auto plain = read_port_name("eth1", "inside");
  EXPECT_EQ(plain->device, "net_af_packet_inside");
  EXPECT_EQ(plain->interface, "eth1");
  EXPECT_THAT(plain->eal_arguments, ElementsAre("--vdev", "net_af_packet_inside,iface=eth1,framecnt=2048"));
  EXPECT_EQ(read_port_name("af_packet:eth1", "inside")->eal_arguments, plain->eal_arguments);
  EXPECT_THAT(read_port_name("af_xdp:eth2", "outside")->eal_arguments,
              ElementsAre("--vdev", "net_af_xdp_outside,iface=eth2"));
  EXPECT_EQ(read_port_name("tap:wire0", "outside")->device, "net_tap_outside");
}

TEST(PortName, PciAddressesAndDpdksOwnDevicesStandAsTheyAre) {
  const auto nic = read_port_name("0000:03:00.1", "inside");
  EXPECT_TRUE(nic->is_pci);
  EXPECT_THAT(nic->eal_arguments, ElementsAre("-a", "0000:03:00.1"));
  EXPECT_EQ(read_port_name("03:00.1", "inside")->device, "0000:03:00.1");
  const auto file = read_port_name("net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap", "inside");
  EXPECT_EQ(file->device, "net_pcap0");
  EXPECT_THAT(file->eal_arguments, ElementsAre("--vdev", "net_pcap0,rx_pcap=a.pcap,tx_pcap=b.pcap"));
}

TEST(PortName, RefusesTheRest) {
  for (const char* text : {"", "a name that is too long", "eth/1", "03:00", "03:00.1:2", "virtio:eth0", "af_xdp:"}) {
    const auto port = read_port_name(text, "inside");
    ASSERT_FALSE(port) << text;
    EXPECT_EQ(port.error().kind, ErrorKind::kUsage);
    EXPECT_EQ(port.error().message, "\"" + std::string(text) + "\" is no port");
  }
}

TEST(EalArguments, FillInWhatThePersonDidNotSay) {
  const std::vector<PortName> ports = {*read_port_name("eth1", "inside"), *read_port_name("eth2", "outside")};
  const auto words = eal_arguments(ports, {}, false).words;
  EXPECT_THAT(words, Contains("--no-pci"));
  EXPECT_THAT(words, Contains("-l"));
  EXPECT_THAT(words, Contains("--log-level=warning"));
  const auto told = eal_arguments(ports, {"-l1", "--file-prefix=x", "--no-huge", "--log-level=debug"}, false).words;
  EXPECT_THAT(told, Not(Contains("-l")));
  EXPECT_THAT(told, Not(Contains("--file-prefix")));
  EXPECT_THAT(told, Not(Contains("--in-memory")));
  EXPECT_THAT(told, Not(Contains("--log-level=warning")));
  const std::vector<PortName> nics = {*read_port_name("03:00.0", "inside"), *read_port_name("03:00.1", "outside")};
  EXPECT_THAT(eal_arguments(nics, {}, false).words, Not(Contains("--no-pci")));
}

}  // namespace
}  // namespace tails::fastpath::dpdk
