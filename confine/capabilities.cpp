#include "confine/capabilities.h"

#include <cap-ng.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "net/errno_words.h"

namespace tails::confine {

Result<void> keep_capabilities(Capabilities keeps) {
  const auto refused = [](const char* what) {
    const int number = errno;
    return fail(ErrorKind::kRefused, std::string("cannot give up capabilities: ") + what + ": " + errno_words(number),
                {}, number);
  };
  errno = EIO;  // cap-ng does not always say why.
  if (capng_get_caps_process() != 0) return refused("reading them");
  for (unsigned number = 0; number <= CAP_LAST_CAP; ++number) {
    if ((keeps & capability(number)) != 0) continue;
    const auto all = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
    if (capng_update(CAPNG_DROP, all, number) != 0) return refused("choosing");
  }
  capng_clear(CAPNG_SELECT_AMBIENT);
  for (unsigned number = 0; number <= CAP_LAST_CAP; ++number) capng_update(CAPNG_DROP, CAPNG_INHERITABLE, number);
  // What is given up is given up for whatever this process becomes as well. That takes a capability of its own,
  // CAP_SETPCAP; where it is missing, or a sandbox forbids it: with no_new_privs nothing that is run gains any of them
  // back. (cap-ng would read /proc twice for it.)
  for (unsigned number = 0; number <= CAP_LAST_CAP; ++number) {
    if ((keeps & capability(number)) == 0) prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
  }
  errno = EIO;
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return refused("dropping them");
  // Kernels before 4.3 have no ambient set, and so nothing in it.
  static_cast<void>(capng_apply(CAPNG_SELECT_AMBIENT));
  return {};
}

std::string names_of(Capabilities set) {
  if (set == kEveryCapability) return "all";
  std::string text;
  for (unsigned number = 0; number <= CAP_LAST_CAP; ++number) {
    if ((set & capability(number)) == 0) continue;
    const char* name = capng_capability_to_name(number);
    std::string word = "CAP_";
    word += name == nullptr ? std::to_string(number) : name;
    std::ranges::transform(word, word.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    text += (text.empty() ? "" : ", ") + word;
  }
  return text.empty() ? "none" : text;
}

}  // namespace tails::confine
