#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "net/packet.h"

namespace tails::host {

/// A running program.
struct Program {
  int pid = 0;
  std::string name;  ///< /proc/PID/comm: at most 15 bytes; control characters are '?'.
};

/// Who holds the socket of `user` at that local port; looks at the calling process's network namespace, and at all
/// processes that it may look into.
std::optional<Program> find_program(Uid user, uint8_t protocol, Port port);

/// Says which program of `user` holds the socket that sent from a port, where /proc still knows: a program that is
/// gone, or has closed the socket, is not found. Looks at most kMostPerSecond times a second, because each look reads
/// all of the user's descriptors; answers for the same port again are remembered for a second. Not thread-safe.
class ProgramFinder {
 public:
  static constexpr int kMostPerSecond = 20;
  using Look = std::function<std::optional<Program>(Uid user, uint8_t protocol, Port port)>;

  /// `look`: asked for what is not known; find_program, or whoever asks it elsewhere.
  explicit ProgramFinder(Look look = find_program) : look_(std::move(look)) {}
  std::optional<Program> find(Uid user, uint8_t protocol, const Endpoint& source);

 private:
  struct Key {
    uint32_t user;
    uint8_t protocol;
    Port port;
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  Look look_;
  std::map<Key, std::optional<Program>> known_;  ///< Of this second: small.
  std::chrono::steady_clock::time_point second_{};
  int looks_ = 0;
};

}  // namespace tails::host
