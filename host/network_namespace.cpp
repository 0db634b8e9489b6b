#include "host/network_namespace.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>

#include "net/errno_words.h"

namespace tails::host {

namespace network_namespace {
namespace {

std::string path_of(const std::string& name) { return std::string(kNamespaceFolder) + "/" + name; }

tl::unexpected<Error> namespace_refused(const std::string& what, int number) {
  return fail(ErrorKind::kRefused, what + ": " + errno_words(number),
              number == EPERM ? "Run as root, or with CAP_SYS_ADMIN." : "", number);
}

/// The thread goes back to where it was. It cannot go on elsewhere: what it does next would be done to the wrong
/// machine. A kernel without memory for the moment is asked again.
void go_home(int home) {
  constexpr int kTries = 100;
  for (int i = 0; setns(home, CLONE_NEWNET) != 0; ++i) {
    if (i == kTries) std::abort();
    usleep(10'000);
  }
}

bool is_empty(const std::string& folder) {
  const auto close_folder = [](DIR* opened) { closedir(opened); };
  const std::unique_ptr<DIR, decltype(close_folder)> listing(opendir(folder.c_str()), close_folder);
  if (!listing) return false;
  while (const dirent* entry = readdir(listing.get())) {
    if (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..") return false;
  }
  return true;
}

/// Held while the folder itself changes; `ip netns add` takes the same one. Not to be had: go on without.
Descriptor lock_folder() {
  Descriptor folder(::open(std::string(kNamespaceFolder).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.is_open()) (void)flock(folder.get(), LOCK_EX | LOCK_NB);
  return folder;
}

/// With the last name goes the folder and its mount. rmdir fails where somebody was quicker to add a name.
void remove_folder_if_empty() {
  const std::string folder(kNamespaceFolder);
  const Descriptor lock = lock_folder();
  if (!lock.is_open() || !is_empty(folder)) return;
  (void)umount2(folder.c_str(), MNT_DETACH);
  (void)rmdir(folder.c_str());
}

/// The folder is a mount of its own and shared, so that other mount namespaces see the names come and go.
Result<void> prepare_folder() {
  const std::string folder(kNamespaceFolder);
  if (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return namespace_refused("cannot make " + folder, errno);
  const Descriptor lock = lock_folder();
  if (mount("", folder.c_str(), "none", MS_SHARED | MS_REC, nullptr) == 0) return {};
  if (errno != EINVAL) return namespace_refused("cannot share " + folder, errno);
  if (mount(folder.c_str(), folder.c_str(), "none", MS_BIND | MS_REC, nullptr) != 0 ||
      mount("", folder.c_str(), "none", MS_SHARED | MS_REC, nullptr) != 0) {
    return namespace_refused("cannot share " + folder, errno);
  }
  return {};
}

}  // namespace

Result<Descriptor> current() {
  Descriptor here(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!here.is_open()) return namespace_refused("cannot open this thread's network namespace", errno);
  return here;
}

Result<void> inside(int target, const std::function<Result<void>()>& work) {
  auto home = current();
  if (!home) return tl::unexpected(home.error());
  if (setns(target, CLONE_NEWNET) != 0) return namespace_refused("cannot enter the network namespace", errno);
  auto result = work();
  go_home(home->get());
  return result;
}

namespace {

Result<void> add_in_folder(const std::string& name) {
  auto there = open(name);
  if (!there) return tl::unexpected(there.error());
  if (*there) return namespace_refused("the network namespace \"" + name + "\" is there already", EEXIST);

  const std::string path = path_of(name);
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444));
  if (!file.is_open()) return namespace_refused("cannot make " + path, errno);
  auto home = current();
  int error = home ? 0 : home.error().system_errno;
  if (error == 0 && unshare(CLONE_NEWNET) != 0) error = errno;
  if (error == 0) {
    if (mount("/proc/thread-self/ns/net", path.c_str(), "none", MS_BIND, nullptr) != 0) error = errno;
    go_home(home->get());
  }
  if (error == 0) return {};
  (void)umount2(path.c_str(), MNT_DETACH);  // It may be there all the same.
  unlink(path.c_str());
  return namespace_refused("cannot make the network namespace \"" + name + "\"", error);
}

}  // namespace

Result<void> add(const std::string& name) {
  auto added = prepare_folder();
  if (added) added = add_in_folder(name);
  if (!added) remove_folder_if_empty();
  return added;
}

Result<void> remove(const std::string& name) {
  const std::string path = path_of(name);
  if (umount2(path.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
    return namespace_refused("cannot unmount " + path, errno);
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return namespace_refused("cannot remove " + path, errno);
  remove_folder_if_empty();
  return {};
}

Result<std::optional<Descriptor>> open(const std::string& name) {
  const std::string path = path_of(name);
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    return namespace_refused("cannot open " + path, errno);
  }
  struct statfs status {};
  if (fstatfs(file.get(), &status) != 0) return namespace_refused("cannot examine " + path, errno);
  if (status.f_type != NSFS_MAGIC) return std::nullopt;
  return std::optional<Descriptor>(std::move(file));
}

std::vector<std::string> list() {
  std::vector<std::string> names;
  const auto close_folder = [](DIR* folder) { closedir(folder); };
  const std::unique_ptr<DIR, decltype(close_folder)> folder(opendir(std::string(kNamespaceFolder).c_str()),
                                                            close_folder);
  if (!folder) return names;
  while (const dirent* entry = readdir(folder.get())) {
    const auto namespace_file = open(entry->d_name);
    if (namespace_file && *namespace_file) names.emplace_back(entry->d_name);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace network_namespace

}  // namespace tails::host
