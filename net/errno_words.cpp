#include "net/errno_words.h"

#include <cerrno>
#include <cstring>

namespace tails {

std::string errno_name(int number) {
  const char* const name = strerrorname_np(number);
  return name != nullptr ? name : std::to_string(number);
}

std::string errno_words(int number) {
  const char* const description = strerrordesc_np(number);
  std::string words = description != nullptr ? description : "unknown error";
  if (number == EPERM || number == EACCES) words = "permission denied";
  if (words.size() > 1 && words[0] >= 'A' && words[0] <= 'Z' && words[1] >= 'a') {
    words[0] = static_cast<char>(words[0] - 'A' + 'a');
  }
  return words + " (" + errno_name(number) + ")";
}

}  // namespace tails
