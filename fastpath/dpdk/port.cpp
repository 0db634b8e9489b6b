#include "fastpath/dpdk/port.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>

#include <algorithm>
#include <utility>

namespace tails::fastpath::dpdk {
namespace {

constexpr uint16_t kDescriptors = 1024;
/// What `Burst` wants to be able to read beyond a frame's end.
constexpr uint16_t kSlack = 64;
constexpr uint16_t kRoom = RTE_PKTMBUF_HEADROOM + 2048 + kSlack;

tl::unexpected<Error> refused(const std::string& device, const char* what, int result) {
  const int reason = result < 0 ? -result : rte_errno;
  return fail(ErrorKind::kRefused, "port " + device + ": " + what + ": " + rte_strerror(reason),
              "Another program may hold it. Nothing passes.", reason);
}

/// In small pages DPDK lays one buffer into each, and its af_xdp driver (22.11) then tells the kernel of as much memory
/// as the buffers would take without gaps: those behind it are lost one by one. Here they have no gaps. (The flag says
/// that a buffer may cross a page's end; the addresses that devices see have no gaps either.)
rte_mempool* make_in_one_piece(const std::string& name, unsigned buffers, unsigned cache) {
  rte_pktmbuf_pool_private room{.mbuf_data_room_size = kRoom, .mbuf_priv_size = 0, .flags = 0};
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), buffers, sizeof(rte_mbuf) + kRoom, cache, sizeof room,
                                               SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == nullptr) return nullptr;
  const size_t each = size_t{pool->header_size} + pool->elt_size + pool->trailer_size;
  constexpr unsigned kPage = 4096;
  const rte_memzone* memory =
      rte_memzone_reserve_aligned((name + "-memory").c_str(), buffers * each + kPage, SOCKET_ID_ANY, 0, kPage);
  const auto free = [](rte_mempool_memhdr*, void* zone) { rte_memzone_free(static_cast<const rte_memzone*>(zone)); };
  int populated = -ENOMEM;
  if (memory != nullptr && rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr) == 0) {
    rte_pktmbuf_pool_init(pool, &room);
    populated = rte_mempool_populate_iova(pool, static_cast<char*>(memory->addr), memory->iova, memory->len, free,
                                          const_cast<rte_memzone*>(memory));
  }
  if (memory != nullptr && populated <= 0) rte_memzone_free(memory);
  if (populated < static_cast<int>(buffers)) {
    rte_mempool_free(pool);
    rte_errno = populated < 0 ? -populated : ENOMEM;
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace

void PacketPool::Free::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

Result<PacketPool> PacketPool::make(const std::string& name, unsigned buffers) {
  constexpr unsigned kCache = 256;
  rte_mempool* pool = rte_eal_has_hugepages() != 0
                          ? rte_pktmbuf_pool_create(name.c_str(), buffers, kCache, 0, kRoom, SOCKET_ID_ANY)
                          : make_in_one_piece(name, buffers, kCache);
  if (pool == nullptr) {
    const int reason = rte_errno;
    return fail(ErrorKind::kRefused, "no memory for " + std::to_string(buffers) + " frames: " + rte_strerror(reason),
                "EAL takes more with -m MEGABYTES behind \"--\".", reason);
  }
  return PacketPool(pool);
}

std::vector<std::string> devices() {
  std::vector<std::string> all;
  // What RTE_ETH_FOREACH_DEV says, without its conversions.
  for (uint64_t at = rte_eth_find_next(0); at < RTE_MAX_ETHPORTS;
       at = rte_eth_find_next(static_cast<uint16_t>(at + 1))) {
    const auto id = static_cast<uint16_t>(at);
    std::string name(RTE_ETH_NAME_MAX_LEN, '\0');
    if (rte_eth_dev_get_name_by_port(id, name.data()) != 0) continue;
    name.resize(name.find('\0'));
    all.push_back(std::move(name));
  }
  return all;
}

Result<Port> Port::open(const std::string& device, const PacketPool& pool) {
  uint16_t id = kNone;
  if (int result = rte_eth_dev_get_port_by_name(device.c_str(), &id); result != 0) {
    return refused(device, "there is no such device", result);
  }
  rte_eth_dev_info info{};
  if (int result = rte_eth_dev_info_get(id, &info); result != 0) return refused(device, "no information", result);

  rte_eth_conf settings{};
  settings.rxmode.offloads = info.rx_offload_capa & (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM |
                                                     RTE_ETH_RX_OFFLOAD_UDP_CKSUM);
  settings.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
  if (int result = rte_eth_dev_configure(id, 1, 1, &settings); result != 0) {
    return refused(device, "does not take the settings", result);
  }
  Port port(id, device);  // From here on it is closed whatever happens.
  uint16_t receive = kDescriptors, transmit = kDescriptors;
  if (int result = rte_eth_dev_adjust_nb_rx_tx_desc(id, &receive, &transmit); result != 0) {
    return refused(device, "does not take the settings", result);
  }
  rte_eth_txconf transmit_settings = info.default_txconf;
  transmit_settings.offloads = settings.txmode.offloads;
  const int socket = rte_eth_dev_socket_id(id);
  const unsigned node = socket < 0 ? 0 : static_cast<unsigned>(socket);
  if (int result = rte_eth_rx_queue_setup(id, 0, receive, node, nullptr, pool.get()); result != 0) {
    return refused(device, "no queue to receive with", result);
  }
  if (int result = rte_eth_tx_queue_setup(id, 0, transmit, node, &transmit_settings); result != 0) {
    return refused(device, "no queue to send with", result);
  }
  if (int result = rte_eth_dev_start(id); result != 0) return refused(device, "does not start", result);
  // Drivers of files and rings have no such mode, and take everything.
  if (int result = rte_eth_promiscuous_enable(id); result != 0 && result != -ENOTSUP) {
    return refused(device, "does not take frames for others", result);
  }
  return port;
}

Port::Port(Port&& other) noexcept : id_(std::exchange(other.id_, kNone)), device_(std::move(other.device_)) {}

Port::~Port() {
  if (id_ == kNone) return;
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
}

unsigned Port::receive(rte_mbuf** frames, unsigned most) {
  return rte_eth_rx_burst(id_, 0, frames, static_cast<uint16_t>(most));
}

unsigned Port::send(rte_mbuf** frames, unsigned count) {
  return rte_eth_tx_burst(id_, 0, frames, static_cast<uint16_t>(count));
}

uint16_t Port::mtu() const {
  constexpr uint16_t kUsual = 1500;
  uint16_t mtu = 0;
  return rte_eth_dev_get_mtu(id_, &mtu) == 0 && mtu != 0 ? mtu : kUsual;
}

uint64_t Port::missed() const {
  rte_eth_stats stats{};
  return rte_eth_stats_get(id_, &stats) == 0 ? stats.imissed + stats.rx_nombuf : 0;
}

}  // namespace tails::fastpath::dpdk
