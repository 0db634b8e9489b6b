#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "leaktest/attempt.h"
#include "leaktest/case.h"
#include "net/descriptor.h"
#include "net/result.h"

namespace tails::leaktest {

/// A process that makes the attempts of one account in one network namespace, and tells how each fared. It dies with
/// this object, and with the process that started it.
class Sender {
 public:
  /// `cases` must live as long as the process does. Errors (kRefused): no pipe, no process.
  static Result<Sender> start(const Descriptor& space, Uid user, const std::vector<const Case*>& cases);
  Sender(Sender&& other) noexcept;
  Sender& operator=(Sender&& other) noexcept;
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  ~Sender();

  /// Readable (POLLIN) when there is something to hear.
  [[nodiscard]] int descriptor() const { return fates_.get(); }
  /// What it has told since the last call; nullopt: it has said its last word.
  std::optional<std::vector<Fate>> hear();
  /// After its last word: waits for its end; whether it ended well.
  bool ended_well();

 private:
  Sender(pid_t process, Descriptor fates) : process_(process), fates_(std::move(fates)) {}
  pid_t process_;
  Descriptor fates_;
};

}  // namespace tails::leaktest
