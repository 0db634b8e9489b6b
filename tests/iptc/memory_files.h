#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "iptc/files.h"

namespace tails::iptc {

/// Files, locks and a clock in memory. Directories are the paths that end in '/'.
class MemoryFiles final : public Files {
 public:
  std::map<std::string, std::string> content;
  std::map<std::string, bool> directories = {{"/run", true}, {"/proc", true}};
  /// Another program holds the lock on this file, until the clock says so.
  std::map<std::string, std::chrono::milliseconds> held_until;
  std::chrono::milliseconds clock{1000};
  /// Files that are there and cannot be opened, with the errno.
  std::map<std::string, int> closed_off;

  int open(const std::string& path, int flags, mode_t /*mode*/) override {
    if (const auto refused = closed_off.find(path); refused != closed_off.end()) return -refused->second;
    const auto at = content.find(path);
    if (at == content.end()) {
      if ((flags & O_CREAT) == 0 || !directories.contains(path.substr(0, path.rfind('/')))) return -ENOENT;
      content[path];
    } else if ((flags & O_TRUNC) != 0) {
      at->second.clear();
    }
    open_[next_] = {path, 0, false};
    return next_++;
  }
  ssize_t read(int descriptor, std::span<std::byte> into) override {
    Descriptor& file = open_.at(descriptor);
    const std::string& text = content[file.path];
    const size_t length = std::min(into.size(), text.size() - std::min(text.size(), file.position));
    std::memcpy(into.data(), text.data() + file.position, length);
    file.position += length;
    return static_cast<ssize_t>(length);
  }
  ssize_t write(int descriptor, std::span<const std::byte> from) override {
    content[open_.at(descriptor).path].append(reinterpret_cast<const char*>(from.data()), from.size());
    return static_cast<ssize_t>(from.size());
  }
  int close(int descriptor) override { return open_.erase(descriptor) == 1 ? 0 : -EBADF; }
  int sync(int descriptor) override { return open_.contains(descriptor) ? 0 : -EBADF; }
  int try_lock(int descriptor) override {
    Descriptor& file = open_.at(descriptor);
    const auto held = held_until.find(file.path);
    if (held != held_until.end() && clock < held->second) return -EWOULDBLOCK;
    for (const auto& [other, state] : open_) {
      if (other != descriptor && state.path == file.path && state.is_locked) return -EWOULDBLOCK;
    }
    file.is_locked = true;
    return 0;
  }
  int identify(int descriptor, Identity& into) override {
    into = {0x0801, std::hash<std::string>{}(open_.at(descriptor).path) % 100000};
    return 0;
  }
  int make_directory(const std::string& path, mode_t /*mode*/) override {
    if (!directories.contains(path.substr(0, path.rfind('/')))) return -ENOENT;
    return directories.emplace(path, true).second ? 0 : -EEXIST;
  }
  int rename(const std::string& from, const std::string& to) override {
    auto node = content.extract(from);
    if (node.empty()) return -ENOENT;
    content[to] = std::move(node.mapped());
    return 0;
  }
  int remove(const std::string& path) override { return content.erase(path) == 1 ? 0 : -ENOENT; }
  void sleep(std::chrono::milliseconds time) override { clock += time; }
  std::chrono::milliseconds now() override { return clock; }
  void sleep_until(std::chrono::milliseconds time) override { clock = std::max(clock, time); }
  /// Processes do not run by themselves: a test calls them.
  pid_t start(const std::function<void(pid_t self)>& work) override {
    const pid_t process = next_process_++;
    processes[process] = work;
    content["/proc/" + std::to_string(process) + "/stat"] = std::to_string(process) +
                                                            " (tails-iptc) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 " +
                                                            std::to_string(1000 + process) + " 0 0\n";
    return process;
  }
  int end(pid_t process) override {
    content.erase("/proc/" + std::to_string(process) + "/stat");
    return processes.erase(process) == 1 ? 0 : -ESRCH;
  }
  std::map<pid_t, std::function<void(pid_t self)>> processes;

  [[nodiscard]] size_t open_count() const { return open_.size(); }
  /// What becomes of the descriptors of a process that was killed.
  void close_all() { open_.clear(); }

 private:
  struct Descriptor {
    std::string path;
    size_t position = 0;
    bool is_locked = false;
  };
  std::map<int, Descriptor> open_;
  int next_ = 3;
  pid_t next_process_ = 500;
};

}  // namespace tails::iptc
