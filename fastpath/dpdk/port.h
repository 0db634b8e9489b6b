#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/result.h"

struct rte_mbuf;
struct rte_mempool;

namespace tails::fastpath::dpdk {

/// Buffers for frames: each holds one of up to 2,048 bytes, and 64 more that can be read. Any thread of an lcore.
class PacketPool {
 public:
  /// `buffers` in all; a power of two less one uses its memory best. Fails with kRefused without memory for them.
  static Result<PacketPool> make(const std::string& name, unsigned buffers);
  [[nodiscard]] rte_mempool* get() const { return pool_.get(); }

 private:
  struct Free {
    void operator()(rte_mempool* pool) const;
  };
  explicit PacketPool(rte_mempool* pool) : pool_(pool) {}
  std::unique_ptr<rte_mempool, Free> pool_;
};

/// The devices that EAL knows at present, in its order.
std::vector<std::string> devices();

/// One port with one queue each way, started, taking every frame whomever it is for. Moves only. One thread receives,
/// one sends.
class Port {
 public:
  /// By the name that DPDK has for the device. `pool` outlives it. Checksums are verified by the NIC where it can.
  /// kRefused where there is no such device or it does not take the settings.
  static Result<Port> open(const std::string& device, const PacketPool& pool);
  Port(Port&& other) noexcept;
  Port& operator=(Port&&) = delete;
  ~Port();

  /// Takes at most `most` frames; never waits. The caller owns them.
  unsigned receive(rte_mbuf** frames, unsigned most);
  /// How many of the frames went out, from the first on; those are the port's, the others the caller's still.
  unsigned send(rte_mbuf** frames, unsigned count);
  /// The longest IP packet that goes out in one frame; 1,500 where the driver does not say.
  [[nodiscard]] uint16_t mtu() const;
  /// Frames that came and that nothing had room for.
  [[nodiscard]] uint64_t missed() const;
  [[nodiscard]] const std::string& device() const { return device_; }

 private:
  Port(uint16_t id, std::string device) : id_(id), device_(std::move(device)) {}
  static constexpr uint16_t kNone = 0xFFFF;
  uint16_t id_;
  std::string device_;
};

}  // namespace tails::fastpath::dpdk
