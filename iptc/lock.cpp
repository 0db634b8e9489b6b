#include "iptc/lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "net/errno_words.h"

namespace tails::iptc {
namespace {

using std::chrono::milliseconds;

/// `iptables (pid 123)`, or empty: /proc/locks names holders by the file's device and inode, and not those in other
/// process namespaces.
std::string holder(Files& files, int descriptor) {
  Files::Identity file;
  if (files.identify(descriptor, file) < 0) return {};
  const auto locks = read_file(files, "/proc/locks");
  if (!locks) return {};
  const std::string place = fmt::format("{:02x}:{:02x}:{}", major(file.device), minor(file.device), file.inode);
  std::istringstream lines(*locks);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, kind, advice, mode, pid, at;
    // A waiter has "->" behind its number: its line does not fit and is passed over.
    if (!(words >> number >> kind >> advice >> mode >> pid >> at) || kind != "FLOCK" || at != place || pid == "0") {
      continue;
    }
    auto name = read_file(files, "/proc/" + pid + "/comm");
    if (!name) return fmt::format("process {}", pid);
    name->erase(std::find(name->begin(), name->end(), '\n'), name->end());
    return fmt::format("{} (process {})", *name, pid);
  }
  return {};
}

}  // namespace

std::string Lock::default_path() {
  const char* const path = std::getenv("XTABLES_LOCKFILE");
  return path != nullptr && *path != '\0' ? path : "/run/xtables.lock";
}

Result<Lock> Lock::take(Files& files, const std::string& path, milliseconds wait) {
  const int descriptor = files.open(path, O_RDONLY | O_CREAT, 0600);
  if (descriptor < 0) {
    return fail(ErrorKind::kRefused, fmt::format("cannot open the xtables lock {}: {}", path, errno_words(-descriptor)),
                descriptor == -EACCES || descriptor == -EPERM
                    ? "Run as root, or use `tails-iptc show` to print the rules."
                    : "",
                -descriptor);
  }
  Lock lock(files, descriptor);
  const milliseconds deadline = files.now() + wait;
  // Asked again and again, because a blocking flock cannot be given a time without a signal. The first tries come
  // quickly: most holders need a few milliseconds.
  for (milliseconds pause{1};; pause = std::min(pause * 2, milliseconds(16))) {
    const int result = files.try_lock(descriptor);
    if (result == 0) return lock;
    if (result == -EINTR) continue;
    if (result != -EWOULDBLOCK) {
      return fail(ErrorKind::kRefused, fmt::format("cannot take the xtables lock {}: {}", path, errno_words(-result)),
                  {}, -result);
    }
    const milliseconds left = deadline - files.now();
    if (left <= milliseconds(0)) break;
    files.sleep(std::min(pause, left));
  }
  const std::string who = holder(files, descriptor);
  return fail(ErrorKind::kRefused,
              fmt::format("{} holds the xtables lock {}", who.empty() ? "another program" : who, path),
              "Wait longer with --wait SECONDS, or end that program.", EWOULDBLOCK);
}

}  // namespace tails::iptc
