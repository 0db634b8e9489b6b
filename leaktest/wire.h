#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "host/network_namespace.h"
#include "net/packet.h"
#include "net/result.h"

namespace tails::leaktest {

using Bytes = std::vector<std::byte>;

/// Both ends of every cable have this address.
inline constexpr std::array<uint8_t, 6> kCableMac = {0x02, 0, 0, 0, 0, 0x07};

/// What is read of a packet that was seen.
struct Frame {
  InterfaceName interface;
  uint8_t protocol = 0;
  IpAddress source;
  IpAddress destination;
  Port source_port = 0;
  Port destination_port = 0;
  uint8_t tcp_flags = 0;
  uint32_t tcp_sequence = 0;
  uint8_t icmp_type = 0;
  uint16_t icmp_id = 0;
  bool is_later_fragment = false;
  std::optional<uint32_t> token;  ///< The case that it names in its payload.
  [[nodiscard]] bool is_icmp_error() const;
};

/// Reads a packet from its IP header on; nullopt where it is none.
std::optional<Frame> read_frame(std::span<const std::byte> packet);

/// A payload that names a case, again and again, so that every fragment does.
Bytes token_payload(uint32_t id, size_t bytes = 16);
/// What every answer to a datagram says.
inline constexpr std::string_view kAnswer = "tlk answer";
/// A token that marks the end of a round.
inline constexpr uint32_t kEndOfRound = 0xFFFFFFFF;

/// An IPv4 packet from its IP header on, checksums filled in; or an IPv6 packet of TCP or UDP.
struct PacketSpec {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = protocol::kTcp;
  Port source_port = 0;
  Port destination_port = 0;
  uint8_t tcp_flags = tcp_flag::kSyn;
  uint32_t sequence = 1;
  uint32_t acknowledgement = 0;
  uint8_t icmp_type = 8;
  uint16_t icmp_id = 1;
  Bytes payload{};
};
Bytes compose(const PacketSpec& spec);

/// A namespace's interfaces, watched with AF_PACKET: no rule of any table stands between a cable and this. On the far
/// side of the machine's cables it is also everybody who lives there: a SYN gets its SYN-ACK, a datagram and a ping get
/// their answers, whatever address they are for. Move-only; one thread.
class Wire {
 public:
  enum class Role : uint8_t { kWatches, kAnswers };
  /// `loopback`: watches lo alone; else every interface but lo.
  static Result<Wire> open(const Descriptor& space, Role role, bool loopback = false);

  [[nodiscard]] int descriptor() const { return socket_.get(); }
  /// What came in since the last call, oldest first. Never waits. Fails when the kernel lost frames.
  Result<std::vector<Frame>> drain();
  /// Puts a packet on the cable at that interface of this side.
  Result<void> inject(const InterfaceName& interface, std::span<const std::byte> packet);

 private:
  Wire(Descriptor socket, Role role, bool loopback, std::vector<std::pair<int, InterfaceName>> interfaces)
      : socket_(std::move(socket)), role_(role), loopback_(loopback), interfaces_(std::move(interfaces)) {}
  Result<void> answer(const Frame& frame, std::span<const std::byte> packet);

  Descriptor socket_;
  Role role_;
  bool loopback_;
  std::vector<std::pair<int, InterfaceName>> interfaces_;
  Bytes buffer_ = Bytes(1 << 16);
};

}  // namespace tails::leaktest
