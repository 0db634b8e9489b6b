#include "policy/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "net/descriptor.h"
#include "net/heap.h"

namespace tails::policy {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

tl::unexpected<Error> rejected(const std::string& path, std::string_view fact, std::string remedy) {
  return fail(ErrorKind::kRejected, fmt::format("{} {}", path, fact), std::move(remedy));
}

tl::unexpected<Error> refused(const std::string& path, std::string_view what, int error) {
  std::string remedy;
  if (error == EACCES || error == EPERM) remedy = "Run as root, or make the file readable.";
  if (error == ENOENT) remedy = "Check the path.";
  return fail(ErrorKind::kRefused,
              fmt::format("cannot {} {}: {} ({})", what, path, strerrordesc_np(error), strerrorname_np(error)),
              std::move(remedy), error);
}

/// Owner and mode: root and the caller are trusted, and nobody else may write.
std::optional<tl::unexpected<Error>> distrust(const std::string& path, const struct stat& status) {
  if (status.st_uid != 0 && status.st_uid != geteuid()) {
    return rejected(path, fmt::format("belongs to user {}, who could change it", status.st_uid),
                    fmt::format("Give it to root: chown root {}", path));
  }
  if ((status.st_mode & S_IWOTH) != 0) {
    return rejected(path, "is writable by everyone", fmt::format("Take that away: chmod go-w {}", path));
  }
  if ((status.st_mode & S_IWGRP) != 0) {
    return rejected(path, "is writable by its group", fmt::format("Take that away: chmod go-w {}", path));
  }
  return std::nullopt;
}

/// Length of the well-formed UTF-8 sequence at the front (The Unicode Standard, table 3-7); 0 where there is none.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;   // no overlong form
    const unsigned high = first == 0xED ? 0x9F : 0xBF;  // no surrogate
    return byte(1) >= low && byte(1) <= high && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;  // nothing above U+10FFFF
    return byte(1) >= low && byte(1) <= high && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

/// Eight bytes at once: nearly every policy is ASCII.
bool is_ascii_word(std::string_view text, size_t at) {
  uint64_t word = 0;
  if (text.size() - at < sizeof(word)) return false;
  std::memcpy(&word, text.data() + at, sizeof(word));
  return (word & 0x8080808080808080) == 0;
}

std::optional<tl::unexpected<Error>> check_utf8(const std::string& path, std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (is_ascii_word(text, at)) {
      at += sizeof(uint64_t);
      continue;
    }
    const size_t length = sequence_length(text.substr(at));
    if (length == 0) {
      const auto line = std::ranges::count(text.substr(0, at), '\n') + 1;
      return rejected(path,
                      fmt::format("is not UTF-8: byte 0x{:02x} in line {}",
                                  static_cast<unsigned>(static_cast<unsigned char>(text[at])), line),
                      "Save it as UTF-8.");
    }
    at += length;
  }
  return std::nullopt;
}

/// O_NONBLOCK: opening a FIFO must not wait for a writer.
Result<Descriptor> open_without_following(int folder, const std::string& name, const std::string& path, int flags) {
  const int fd = openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | flags);
  if (fd >= 0) return Descriptor(fd);
  const int error = errno;
  struct stat status {};
  const bool is_link = fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
  if ((error == ELOOP || error == ENOTDIR) && is_link) {
    return rejected(path, "is a symbolic link", "Put the file itself there, or name the file that the link points to.");
  }
  return refused(path, "open", error);
}

Result<Document> read_at(int folder, const std::string& name, const std::string& path) {
  const auto fd = open_without_following(folder, name, path, 0);
  if (!fd) return tl::unexpected(fd.error());
  struct stat status {};
  if (fstat(fd->get(), &status) != 0) return refused(path, "examine", errno);
  if (!S_ISREG(status.st_mode)) return rejected(path, "is no regular file", "A policy is a text file.");
  if (auto error = distrust(path, status)) return *error;

  const auto too_large = [&] {
    return rejected(path, "is larger than 16 MiB", "A policy is a few kilobytes of text.");
  };
  if (static_cast<uint64_t>(status.st_size) > kMaxFileBytes) return too_large();
  // A policy of services takes eleven to fifteen times its text until it is committed.
  constexpr size_t kTimes = 12;
  expect_heap(kTimes * static_cast<size_t>(status.st_size));
  Document document{path, {}, false};
  document.text.resize(static_cast<size_t>(status.st_size) + 1);  // one more, to see the end
  size_t filled = 0;
  while (true) {
    if (filled == document.text.size()) document.text.resize(filled * 2);
    const ssize_t count = ::read(fd->get(), document.text.data() + filled, document.text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return refused(path, "read", errno);
    if (count == 0) break;
    filled += static_cast<size_t>(count);
    if (filled > kMaxFileBytes) return too_large();  // it grew meanwhile
  }
  document.text.resize(filled);
  if (auto error = check_utf8(path, document.text)) return *error;
  return document;
}

/// The folders above `path`, which is absolute, each as wherever its links lead.
Result<void> trust_folders_above(const std::string& path, const std::string& named) {
  for (std::string folder = path; folder.size() > 1;) {
    folder.resize(std::max<size_t>(folder.rfind('/'), 1));
    struct stat status {};
    if (::stat(folder.c_str(), &status) != 0) return refused(folder, "examine", errno);
    // Nobody takes or renames there what is not his: /tmp.
    if ((status.st_mode & S_ISVTX) != 0) status.st_mode &= ~static_cast<mode_t>(S_IWGRP | S_IWOTH);
    if (const auto error = distrust(folder, status)) {
      return rejected(named, "is not safe: " + error->value().message, error->value().remedy);
    }
  }
  return {};
}

/// Whoever may write to a folder on the way can put another file in the place of one that he may not write to, or turn
/// a link. Of root's runs only: who looks at a file of his own with no more than his own rights trusts himself.
Result<void> trust_way_to(const std::string& path) {
  if (geteuid() != 0) return {};
  const auto whole = [](const std::string& name) {
    const std::unique_ptr<char, decltype(&std::free)> text(::realpath(name.c_str(), nullptr), &std::free);
    return text == nullptr ? std::string() : std::string(text.get());
  };
  const std::string as_named = path.starts_with('/') ? path : whole(".") + "/" + path;
  if (auto trusted = trust_folders_above(as_named, path); !trusted) return trusted;
  const std::string real = whole(path);
  if (real.empty()) return refused(path, "examine", errno);
  return trust_folders_above(real, path);
}

}  // namespace

Result<Document> read_policy_file(const std::string& path) {
  auto document = read_at(AT_FDCWD, path, path);
  if (!document) return document;
  if (auto trusted = trust_way_to(path); !trusted) return tl::unexpected(trusted.error());
  return document;
}

namespace {

Result<std::vector<Document>> read_folder(const std::string& folder, bool is_session) {
  std::vector<Document> documents;
  auto fd = open_without_following(AT_FDCWD, folder, folder, O_DIRECTORY);
  if (!fd && fd.error().system_errno == ENOENT) return documents;
  if (!fd) return tl::unexpected(fd.error());
  struct stat status {};
  if (fstat(fd->get(), &status) != 0) return refused(folder, "examine", errno);
  if (auto error = distrust(folder, status)) return *error;
  if (auto trusted = trust_way_to(folder); !trusted) return tl::unexpected(trusted.error());

  const std::unique_ptr<DIR, CloseFolder> listing(fdopendir(fd->get()));
  if (listing == nullptr) return refused(folder, "list", errno);
  fd->release();  // closedir closes it
  std::vector<std::string> names;
  errno = 0;
  // One stream, one thread: readdir(3) is safe.
  while (const dirent* entry = readdir(listing.get())) {  // NOLINT(concurrency-mt-unsafe)
    const std::string_view name = entry->d_name;
    if (!name.starts_with('.') && name.ends_with(".toml")) names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return refused(folder, "list", errno);
  std::ranges::sort(names);
  for (const std::string& name : names) {
    std::string path = folder;
    path += '/';
    path += name;
    auto document = read_at(dirfd(listing.get()), name, path);
    if (!document) return tl::unexpected(document.error());
    document->is_drop_in = true;
    document->is_session = is_session;
    documents.push_back(std::move(*document));
  }
  return documents;
}

}  // namespace

Result<std::vector<Document>> read_drop_ins(const std::string& policy_path) {
  const size_t slash = policy_path.rfind('/');
  return read_folder((slash == std::string::npos ? "" : policy_path.substr(0, slash + 1)) + "policy.d", false);
}

Result<std::vector<Document>> read_session(const std::string& folder) { return read_folder(folder, true); }

}  // namespace tails::policy
