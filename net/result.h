#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace tails {

/// What an error means for the person and for the exit status (design: "Exit status" of the command line).
enum class ErrorKind {
  kRejected,    ///< The answer is no: a policy is wrong, text cannot be read. Exit 1.
  kUsage,       ///< The request itself makes no sense. Exit 2.
  kRefused,     ///< The system refused; nothing was changed. Exit 3.
  kLockedDown,  ///< The system refused half-way; all traffic is blocked. Exit 4.
};

/// One failure, in words for a person. Plain value.
struct Error {
  ErrorKind kind = ErrorKind::kRefused;
  /// The fact, one line without a trailing period or newline ("cannot replace table \"filter\": … (EPERM)").
  /// Diagnostics of a file are already laid out over several lines.
  std::string message;
  /// What to do about it: full sentences, may be empty.
  std::string remedy;
  /// errno of the call that failed, 0 where no system call did.
  int system_errno = 0;
};

/// A value or the reason why there is none. Used for whatever input or the kernel can cause;
/// `assert` is for our own mistakes, and no exception crosses a module.
template <class T, class E = Error>
using Result = tl::expected<T, E>;

inline tl::unexpected<Error> fail(ErrorKind kind, std::string message, std::string remedy = {}, int system_errno = 0) {
  return tl::unexpected<Error>(Error{kind, std::move(message), std::move(remedy), system_errno});
}

}  // namespace tails
