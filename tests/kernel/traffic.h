#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "net/ids.h"
#include "net/packet.h"
#include "tests/kernel/harness/packet_bytes.h"

/// What programs do to the network while others change its rules. Each function is the work of a process of its own
/// (InBackground) and returns what went wrong, or "". The counters are in SharedMemory.
namespace tails::testbed {

/// A program that tries the same destination again and again.
struct Attempt {
  const char* name;
  Uid user;
  uint8_t protocol;
  Endpoint to;
  const char* leaves_by = "eth0";
};

/// The packet is one that the attempt makes.
bool is_of(const Attempt& attempt, const Packet& packet);

/// Opens a socket, connects or sends, closes it; until `end`. Nicer than whoever changes the rules, however few
/// processors there are. `pause`: between two of them.
std::string try_again_and_again(const Attempt& attempt, std::atomic<uint64_t>& attempts, const std::atomic<bool>& end,
                                std::chrono::microseconds pause = {});

/// Connects, sends and wants the same back, until `end`. "BYTES SUM", or what went wrong.
std::string stream(const Endpoint& to, std::atomic<uint64_t>& streamed, const std::atomic<bool>& end);

/// The other end of `stream`: one client. "BYTES SUM" of what it sent.
std::string echo(int listener);

}  // namespace tails::testbed
