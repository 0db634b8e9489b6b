#include "tests/faults/recorded_files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/faults/contents.h"

namespace tails::faults {
namespace {

using Kind = FileOperation::Kind;

std::string memory(pid_t process, unsigned long address, size_t length) {
  std::string bytes(length, '\0');
  iovec here{bytes.data(), bytes.size()};
  iovec there{reinterpret_cast<void*>(address), length};  // NOLINT(performance-no-int-to-ptr): of another process
  const ssize_t read = process_vm_readv(process, &here, 1, &there, 1, 0);
  bytes.resize(read < 0 ? 0 : static_cast<size_t>(read));
  return bytes;
}

/// A string up to its zero; pages may end anywhere behind it.
std::string text(pid_t process, unsigned long address) {
  constexpr size_t kPage = 4096;
  std::string all;
  while (true) {
    const std::string part = memory(process, address + all.size(), kPage - (address + all.size()) % kPage);
    const size_t end = part.find('\0');
    all += part.substr(0, end);
    if (part.empty() || end != std::string::npos) return all;
  }
}

std::string as_folder(std::string path) {
  if (!path.ends_with('/')) path += '/';
  return path;
}

}  // namespace

FileRecorder::FileRecorder(const std::vector<std::string>& folders) : folders_(folders) {
  for (const std::string& folder : folders) {
    before_[folder] = "";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.is_directory()) before_[as_folder(entry.path())] = "";
      if (entry.is_regular_file()) before_[entry.path()] = contents(entry.path());
    }
  }
  for (const auto& [path, content] : before_) names_[path] = next_file_++;
}

bool FileRecorder::is_watched(const std::string& path) const {
  return std::ranges::any_of(
      folders_, [&](const std::string& folder) { return path.starts_with(folder) || as_folder(path) == folder; });
}

std::string FileRecorder::path_at(const SystemCall& call, size_t folder, size_t path) const {
  std::string name = text(call.process, call.arguments.at(path));
  if (name.starts_with('/')) return name;
  const auto at = open_.find(static_cast<int>(call.arguments.at(folder)));
  return at == open_.end() ? name : as_folder(at->second.path) + name;
}

void FileRecorder::see_open(const SystemCall& call, const std::string& path, unsigned long flags) {
  if (!is_watched(path)) return;
  const auto known = names_.find(path);
  if (names_.contains(as_folder(path))) {
    open_[call.result] = {as_folder(path)};
    return;
  }
  if (known == names_.end()) {
    if ((flags & O_CREAT) == 0) return;
    names_[path] = next_file_;
    operations_.push_back({Kind::kMake, next_file_, path});
    open_[call.result] = {path, next_file_++};
    return;
  }
  open_[call.result] = {path, known->second};
  if ((flags & O_TRUNC) != 0) operations_.push_back({Kind::kTruncate, known->second});
}

void FileRecorder::see_write(const SystemCall& call, std::string data, std::optional<size_t> offset) {
  const auto file = open_.find(static_cast<int>(call.arguments[0]));
  if (file == open_.end()) return;
  data.resize(static_cast<size_t>(call.result));
  const size_t at = offset.value_or(file->second.position);
  if (!offset) file->second.position += data.size();
  operations_.push_back({Kind::kWrite, file->second.file, {}, {}, at, std::move(data)});
}

void FileRecorder::see_rename(const std::string& from, const std::string& to) {
  const auto file = names_.find(from);
  if (file == names_.end()) return;
  names_[to] = file->second;
  names_.erase(from);
  operations_.push_back({Kind::kRename, 0, from, to});
}

void FileRecorder::see_removal(const std::string& path) {
  if (names_.erase(path) != 0) operations_.push_back({Kind::kRemove, 0, path});
}

void FileRecorder::see(const SystemCall& call) {
  if (call.result < 0) return;
  const auto argument = [&](size_t i) { return call.arguments.at(i); };
  const long descriptor = static_cast<int>(argument(0));
  const auto string = [&](size_t i) { return text(call.process, argument(i)); };
  switch (call.number) {
    case SYS_open: return see_open(call, string(0), argument(1));
    case SYS_openat: return see_open(call, path_at(call, 0, 1), argument(2));
    case SYS_close: open_.erase(descriptor); return;
    case SYS_write:
      return see_write(call, memory(call.process, argument(1), static_cast<size_t>(call.result)), std::nullopt);
    case SYS_pwrite64:
      return see_write(call, memory(call.process, argument(1), static_cast<size_t>(call.result)), argument(3));
    case SYS_ftruncate:
      if (open_.contains(descriptor)) {
        operations_.push_back({Kind::kTruncate, open_[descriptor].file, {}, {}, argument(1)});
      }
      return;
    case SYS_fsync:
    case SYS_fdatasync:
      if (open_.contains(descriptor)) {
        const Open& file = open_[descriptor];
        operations_.push_back(file.file < 0 ? FileOperation{Kind::kSyncFolder, 0, file.path}
                                            : FileOperation{Kind::kSync, file.file});
      }
      return;
    case SYS_rename: return see_rename(string(0), string(1));
    case SYS_renameat:
    case SYS_renameat2: return see_rename(path_at(call, 0, 1), path_at(call, 2, 3));
    case SYS_unlink: return see_removal(string(0));
    case SYS_unlinkat: return see_removal(path_at(call, 0, 1));
    case SYS_mkdir:
    case SYS_mkdirat: {
      const std::string path = as_folder(call.number == SYS_mkdir ? string(0) : path_at(call, 0, 1));
      if (!is_watched(path)) return;
      names_[path] = next_file_++;
      operations_.push_back({Kind::kMakeFolder, 0, path});
      return;
    }
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_fallocate:
    case SYS_sendfile:
    case SYS_copy_file_range:
      if (open_.contains(descriptor)) not_understood_.push_back(call.number);
      return;
    case SYS_truncate:
      if (is_watched(string(0))) not_understood_.push_back(call.number);
      return;
    case SYS_link:
    case SYS_linkat:
    case SYS_symlink:
    case SYS_symlinkat:
      if (is_watched(string(call.number == SYS_linkat ? 3 : call.number == SYS_symlinkat ? 2 : 1))) {
        not_understood_.push_back(call.number);
      }
      return;
    default: return;
  }
}

}  // namespace tails::faults
