#include "fastpath/dpdk/cable.h"

#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_ring.h>

namespace tails::fastpath::dpdk {
namespace {

/// Frames that are on the cable at once: as many as a NIC's descriptors hold.
constexpr unsigned kFrames = 1024;

tl::unexpected<Error> refused(const std::string& what) {
  const int reason = rte_errno;
  return fail(ErrorKind::kRefused, "no " + what + ": " + rte_strerror(reason),
              "EAL takes more memory with -m MEGABYTES behind \"--\".", reason);
}

}  // namespace

void Cable::Free::operator()(rte_ring* ring) const { rte_ring_free(ring); }

Result<Cable> Cable::make(const std::string& name) {
  const auto ring = [&](const char* way) {
    return Ring(rte_ring_create((name + way).c_str(), kFrames, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ));
  };
  Ring there = ring("-there"), back = ring("-back");
  if (!there || !back) return refused("memory for a cable");
  const auto device = [&](const char* end, rte_ring* receives, rte_ring* sends) -> std::string {
    const int port = rte_eth_from_rings((name + end).c_str(), &receives, 1, &sends, 1, 0);
    std::string known_as(RTE_ETH_NAME_MAX_LEN, '\0');
    if (port < 0 || rte_eth_dev_get_name_by_port(static_cast<uint16_t>(port), known_as.data()) != 0) return {};
    known_as.resize(known_as.find('\0'));
    return known_as;
  };
  std::string near = device("-near", back.get(), there.get()), far = device("-far", there.get(), back.get());
  if (near.empty() || far.empty()) return refused("device of DPDK's ring driver");
  return Cable(std::move(there), std::move(back), std::move(near), std::move(far));
}

}  // namespace tails::fastpath::dpdk
