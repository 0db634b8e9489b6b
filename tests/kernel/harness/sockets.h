#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "host/sockets.h"
#include "net/descriptor.h"
#include "net/ids.h"
#include "net/packet.h"
#include "net/result.h"
#include "tests/kernel/harness/packet_bytes.h"

/// Sockets as programs use them. Everything happens in the calling thread's namespace and with its credentials
/// (`as_user`, `SocketOwner`). An "errno" is 0 where the call succeeded.
namespace tails::testbed {

using host::SocketOptions;

/// A socket of `type` (SOCK_STREAM, SOCK_DGRAM) for `family`, non-blocking.
Result<Descriptor> open_socket(Family family, int type, const SocketOptions& options = {});

/// Room for bursts of thousands of packets between two reads: 64 MiB, past what an administrator grants.
Result<void> enlarge_receive_buffer(const Descriptor& socket);

/// Waits for a TCP connection: 0, or what connect(2) ended with; ETIMEDOUT when nothing came back in time.
int connect_tcp(int socket, const Endpoint& to, std::chrono::milliseconds patience);
/// Opens, connects and closes.
int try_tcp(const Endpoint& to, const SocketOptions& options = {},
            std::chrono::milliseconds patience = std::chrono::milliseconds(700));

/// What an unconnected sendto(2) of a few bytes says.
int try_udp(const Endpoint& to, const SocketOptions& options = {});
/// A connected UDP socket: sends, then asks for the answer. ECONNREFUSED: an ICMP error came, be it this kernel's own
/// (the send itself then said EPERM, and the next call on the socket tells why). ETIMEDOUT: silence.
int try_connected_udp(const Endpoint& to, const SocketOptions& options = {},
                      std::chrono::milliseconds patience = std::chrono::milliseconds(700));

/// Sends the very packet that compose() makes, by a raw socket: any protocol, any flags, any source.
int send_raw(const Packet& packet, const Details& details = {}, const SocketOptions& options = {});

/// Port 0: the kernel chooses; `local_endpoint` tells.
Result<Descriptor> listen_tcp(const Endpoint& at);
Result<Descriptor> bind_udp(const Endpoint& at);
Endpoint local_endpoint(int socket);

/// Waits until the socket is readable (a connection, a datagram, an end of stream).
bool wait_readable(int socket, std::chrono::milliseconds patience);
/// The datagram that arrives, and who sent it; nullopt after `patience`.
struct Datagram {
  std::string text;
  Endpoint from;
};
std::optional<Datagram> receive(int socket, std::chrono::milliseconds patience = std::chrono::milliseconds(700));
int send_to(int socket, const Endpoint& to, std::string_view text);

/// "ECONNREFUSED", "0", …: for messages.
std::string errno_name(int number);

}  // namespace tails::testbed
