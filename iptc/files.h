#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "net/result.h"

namespace tails::iptc {

/// The few calls on files, locks, clocks and processes that a transaction makes, so that each can be made to fail or to
/// be the last one. Every call that returns a number returns -errno on failure, and means what the system call of that
/// name means. Paths are absolute. Not thread-safe.
class Files {
 public:
  /// Which file a descriptor stands for.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };

  Files() = default;
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;
  virtual ~Files() = default;

  /// open(2) with O_CLOEXEC added.
  virtual int open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t read(int descriptor, std::span<std::byte> into) = 0;
  virtual ssize_t write(int descriptor, std::span<const std::byte> from) = 0;
  virtual int close(int descriptor) = 0;
  /// fsync(2); of a folder: the names in it.
  virtual int sync(int descriptor) = 0;
  /// flock(2) with LOCK_EX | LOCK_NB.
  virtual int try_lock(int descriptor) = 0;
  virtual int identify(int descriptor, Identity& into) = 0;
  /// How long it is, so that room for it is made at once; 0: not known.
  virtual size_t expected_size(int /*descriptor*/) { return 0; }
  virtual int make_directory(const std::string& path, mode_t mode) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int remove(const std::string& path) = 0;
  virtual void sleep(std::chrono::milliseconds time) = 0;
  /// CLOCK_BOOTTIME: goes on while the machine is suspended.
  virtual std::chrono::milliseconds now() = 0;
  /// Until `now` is `time` or later.
  virtual void sleep_until(std::chrono::milliseconds time) = 0;

  /// Runs `work` in a process of its own, which is given its number: a copy of this one without terminal, session and
  /// descriptors (each call on files is usable, each object that holds a descriptor is not), that outlives us. It ends
  /// after `work`. Returns its number.
  virtual pid_t start(const std::function<void(pid_t self)>& work) = 0;
  /// SIGKILL.
  virtual int end(pid_t process) = 0;
};

/// The system's own.
std::unique_ptr<Files> system_files();

/// The whole file. Errors (kRefused): the call that failed, by its errno.
Result<std::string> read_file(Files& files, const std::string& path);

/// Writes `text` beside `path` and renames it there, so that a reader sees the old or the new file, whole. For what
/// lives in /run: after a power cut, anything may be left of it.
/// Errors (kRefused): the call that failed; the old file is as it was.
Result<void> write_file(Files& files, const std::string& path, std::string_view text, mode_t mode);
/// The same with a text in pieces, which need not be in memory as one.
Result<void> write_file(Files& files, const std::string& path, std::span<const std::string_view> pieces, mode_t mode);

/// The same for what outlives the machine's power: at every moment a power cut leaves the old or the new file, whole,
/// and after success the new one.
/// Errors (kRefused): the call that failed. The old file is as it was, unless the message says that the new one is
/// there and may not outlive a power cut.
Result<void> write_durable_file(Files& files, const std::string& path, std::string_view text, mode_t mode);

/// Removes a file so that a power cut does not bring it back. One that is not there is fine. Errors (kRefused).
Result<void> remove_durably(Files& files, const std::string& path);

}  // namespace tails::iptc
