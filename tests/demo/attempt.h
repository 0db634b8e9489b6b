#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "net/result.h"
#include "tests/demo/matrix.h"
#include "tests/kernel/harness/network_namespace.h"

namespace tails::demo {

/// What a program sees that tries to reach something.
enum class Answer : char {
  kReached = 'r',
  kRefused = 'x',  ///< An error at once.
  kSilent = 's',   ///< Nothing came back in time.
};

/// One user's try at one destination, from source port `port` (ping has none).
struct Attempt {
  const Destination* destination = nullptr;
  Endpoint to;
  Port port = 0;
};

/// Makes the attempts one after the other, in `where`, as a process that is `user` and nobody else. One answer for
/// each.
Result<std::vector<Answer>> try_all(const testbed::NetworkNamespace& where, Uid user,
                                    const std::vector<Attempt>& attempts, std::chrono::milliseconds patience);

}  // namespace tails::demo
