#include "confine/write_access.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "net/descriptor.h"
#include "net/errno_words.h"

// Missing from the headers of Debian 12 (ABI 3, Linux 6.2).
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif

namespace tails::confine {
namespace {

// glibc has no functions for these.
int create_ruleset(const landlock_ruleset_attr* attributes, size_t size, uint32_t flags) {
  return static_cast<int>(syscall(SYS_landlock_create_ruleset, attributes, size, flags));
}

constexpr uint64_t kOfFiles = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
constexpr uint64_t kOfFolders = kOfFiles | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG;
constexpr uint64_t kNobodys = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                              LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
                              LANDLOCK_ACCESS_FS_MAKE_SYM;

/// What a version of the kernel's interface can limit.
uint64_t known_to(int version) {
  uint64_t all = kOfFolders | kNobodys;
  // Since version 2 renaming from one folder to another can be allowed; nobody needs it, and before nobody has it.
  if (version >= 2) all |= LANDLOCK_ACCESS_FS_REFER;
  if (version < 3) all &= ~uint64_t{LANDLOCK_ACCESS_FS_TRUNCATE};
  return all;
}

Descriptor open_place(const std::string& place) {
  Descriptor found(::open(place.c_str(), O_PATH | O_CLOEXEC));
  if (found.is_open() || errno != ENOENT) return found;
  const size_t slash = place.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : place.substr(0, slash);
  return Descriptor(::open(folder.c_str(), O_PATH | O_CLOEXEC));
}

tl::unexpected<Error> refused(const std::string& what) {
  const int number = errno;
  return fail(ErrorKind::kRefused, "cannot limit where files are written: " + what + ": " + errno_words(number), {},
              number);
}

}  // namespace

Result<bool> write_only_to(std::span<const std::string> places) {
  const int version = create_ruleset(nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0 && (errno == ENOSYS || errno == EOPNOTSUPP)) return false;
  if (version < 0) return refused("asking the kernel");
  const landlock_ruleset_attr limits{known_to(version)};
  const Descriptor ruleset(create_ruleset(&limits, sizeof limits, 0));
  if (!ruleset.is_open()) return refused("making the list");
  for (const std::string& place : places) {
    const Descriptor found = open_place(place);
    // Neither it nor its folder is there, or it is nobody's to enter who has no rights: nothing can be written there,
    // and saying so is the writer's. Anything else would make the writer blame what is right.
    const bool is_out_of_reach = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    if (!found.is_open() && is_out_of_reach) continue;
    if (!found.is_open()) return refused(place);
    struct stat status {};
    if (fstat(found.get(), &status) != 0) return refused(place);
    const uint64_t wanted = S_ISDIR(status.st_mode) ? kOfFolders : kOfFiles;
    const landlock_path_beneath_attr rule{wanted & known_to(version), found.get()};
    if (syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) return refused(place);
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) return refused("taking it on");
  return true;
}

}  // namespace tails::confine
