#include "host/refusal.h"

#include <cerrno>

#include "net/errno_words.h"

namespace tails::host {

tl::unexpected<Error> refused(const std::string& what, int number) {
  const char* remedy = number == EACCES || number == EPERM || number == EROFS ? "Run as root." : "";
  return fail(ErrorKind::kRefused, what + ": " + errno_words(number), remedy, number);
}

}  // namespace tails::host
