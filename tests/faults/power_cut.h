#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

/// What a power cut leaves of files: only what was fsynced is sure to be there, and anything else may be.
///
/// Stricter than any file system that is in use, as all of them may be (POSIX says no more):
/// 1. Data of a file is on the disk once the file was synced. Until then each write and each truncation may be there or
///    not, in any combination; a write of more than a sector may be there in part.
/// 2. A name (made, renamed, removed) is on the disk once its folder was synced. Until then the changes of a folder may
///    be there up to any one of them, in their order, and whatever became of the data that the names stand for.
namespace tails::faults {

/// One operation on a file system. Files are told by numbers, as a name may come to stand for another one.
struct FileOperation {
  enum class Kind { kMake, kMakeFolder, kTruncate, kWrite, kSync, kSyncFolder, kRename, kRemove };
  Kind kind = Kind::kMake;
  int file = 0;        ///< kMake, kTruncate, kWrite, kSync
  std::string path{};  ///< kMake, kMakeFolder, kSyncFolder, kRemove; kRename: from
  std::string to{};    ///< kRename
  size_t offset = 0;   ///< kWrite; kTruncate: the new length.
  std::string data{};  ///< kWrite
};

/// Contents by path; folders end in '/'.
using FileTree = std::map<std::string, std::string>;

class PowerCut {
 public:
  /// `files`: what is on the disk at first, as file 0, 1, … in this order (folders are counted too).
  explicit PowerCut(const FileTree& files);

  void apply(const FileOperation& operation);
  /// Every tree that the disk may hold if the power is cut now; each once.
  [[nodiscard]] std::vector<FileTree> leaves() const;

 private:
  struct NameChange {
    std::string folder;
    FileOperation operation;
  };
  void put_name(std::map<std::string, int>& names, const FileOperation& operation) const;

  std::map<std::string, int> names_;                        ///< On the disk.
  std::map<int, std::string> contents_;                     ///< On the disk.
  std::vector<NameChange> name_changes_;                    ///< Not yet, in their order.
  std::map<int, std::vector<FileOperation>> data_changes_;  ///< Not yet; kWrite and kTruncate.
};

/// The folder that holds `path`: "/etc/" of "/etc/x".
std::string folder_of(const std::string& path);

}  // namespace tails::faults
