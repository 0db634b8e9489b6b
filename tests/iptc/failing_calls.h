#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

/// System calls of this program that go wrong. The real code runs on the real kernel up to the call that a test names:
/// the library tails_failing_calls puts itself between a test program and the C library (ld's --wrap), for whatever is
/// linked into the program.
namespace tails::iptc {

struct CallFault {
  size_t at = 0;  ///< Number of the call, from 0, in the order in which they are made.
  /// The call is not made and fails with this.
  int error = 0;
  /// Without an error: recv(2) is made, and the first message of what came says that the dump was interrupted.
  bool interrupts_dump = false;
  bool is_lasting = false;  ///< Each later call of the same name fails as well.
};

/// As long as it lives, the calls of this thread are counted, and the one that is named goes wrong. One at a time; a
/// child that the thread forks inherits it.
class FailingCalls {
 public:
  explicit FailingCalls(std::optional<CallFault> fault = std::nullopt);
  FailingCalls(const FailingCalls&) = delete;
  FailingCalls& operator=(const FailingCalls&) = delete;
  ~FailingCalls();

  /// The names of the calls so far.
  [[nodiscard]] const std::vector<std::string_view>& made() const { return made_; }

  /// For the calls themselves: the fault of the call that is made now, if it has one.
  static std::optional<CallFault> next(std::string_view name);

 private:
  std::optional<CallFault> fault_;
  std::vector<std::string_view> made_;
};

}  // namespace tails::iptc
