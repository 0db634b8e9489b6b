#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/faults/power_cut.h"
#include "tests/faults/traced_program.h"

namespace tails::faults {

/// Turns the system calls of a traced program into the operations that it made on the files below some folders.
class FileRecorder {
 public:
  /// `folders`: absolute, each ending in '/'. Reads what is in them.
  explicit FileRecorder(const std::vector<std::string>& folders);

  /// As TracedLaunch::seen.
  void see(const SystemCall& call);

  /// What was there before.
  [[nodiscard]] const FileTree& before() const { return before_; }
  [[nodiscard]] const std::vector<FileOperation>& operations() const { return operations_; }
  /// Calls that change files in a way that is not understood; a test must have none.
  [[nodiscard]] const std::vector<long>& not_understood() const { return not_understood_; }

 private:
  struct Open {
    std::string path;
    int file = -1;  ///< -1: a folder.
    size_t position = 0;
  };
  [[nodiscard]] bool is_watched(const std::string& path) const;
  std::string path_at(const SystemCall& call, size_t folder, size_t path) const;
  void see_open(const SystemCall& call, const std::string& path, unsigned long flags);
  void see_write(const SystemCall& call, std::string data, std::optional<size_t> offset);
  void see_rename(const std::string& from, const std::string& to);
  void see_removal(const std::string& path);

  std::vector<std::string> folders_;
  FileTree before_;
  std::map<std::string, int> names_;
  std::map<long, Open> open_;
  int next_file_ = 0;
  std::vector<FileOperation> operations_;
  std::vector<long> not_understood_;
};

}  // namespace tails::faults
