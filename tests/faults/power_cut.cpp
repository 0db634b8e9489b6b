#include "tests/faults/power_cut.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <utility>

namespace tails::faults {
namespace {

using Kind = FileOperation::Kind;

/// What a disk writes whole or not at all.
constexpr size_t kSector = 512;

void put_data(std::string& content, const FileOperation& change, size_t length) {
  if (change.kind == Kind::kTruncate) {
    content.resize(change.offset);
    return;
  }
  if (content.size() < change.offset + length) content.resize(change.offset + length);
  content.replace(change.offset, length, change.data, 0, length);
}

/// Each content that a file may have when some of the changes came to the disk.
std::vector<std::string> contents_with(const std::string& content, const std::vector<FileOperation>& changes) {
  std::set<std::string> all = {content};
  for (const FileOperation& change : changes) {
    std::set<std::string> more = all;
    for (const std::string& before : all) {
      const size_t whole = change.data.size();
      for (const size_t length : whole > kSector ? std::vector{kSector, whole / 2, whole} : std::vector{whole}) {
        std::string after = before;
        put_data(after, change, length);
        more.insert(std::move(after));
      }
    }
    all = std::move(more);
  }
  return {all.begin(), all.end()};
}

}  // namespace

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/', path.size() - 2) + 1); }

PowerCut::PowerCut(const FileTree& files) {
  int number = 0;
  for (const auto& [path, content] : files) {
    names_[path] = number;
    contents_[number++] = content;
  }
}

void PowerCut::apply(const FileOperation& operation) {
  switch (operation.kind) {
    case Kind::kMake:
    case Kind::kMakeFolder:
    case Kind::kRename:
    case Kind::kRemove: name_changes_.push_back({folder_of(operation.path), operation}); return;
    case Kind::kWrite:
    case Kind::kTruncate: data_changes_[operation.file].push_back(operation); return;
    case Kind::kSync: {
      std::string& content = contents_[operation.file];
      for (const FileOperation& change : data_changes_[operation.file]) put_data(content, change, change.data.size());
      data_changes_.erase(operation.file);
      return;
    }
    case Kind::kSyncFolder: {
      for (const NameChange& change : name_changes_) {
        if (change.folder == operation.path) put_name(names_, change.operation);
      }
      std::erase_if(name_changes_, [&](const NameChange& change) { return change.folder == operation.path; });
      return;
    }
  }
}

void PowerCut::put_name(std::map<std::string, int>& names, const FileOperation& operation) const {
  if (operation.kind == Kind::kMake) {
    names[operation.path] = operation.file;
  } else if (operation.kind == Kind::kMakeFolder) {
    names[operation.path] = -1;
  } else if (operation.kind == Kind::kRemove) {
    names.erase(operation.path);
  } else if (const auto from = names.find(operation.path); from != names.end()) {
    names[operation.to] = from->second;
    names.erase(operation.path);
  }
}

std::vector<FileTree> PowerCut::leaves() const {
  // How far each folder came, and what each file holds: every combination.
  std::map<std::string, size_t> changes_of;
  for (const NameChange& change : name_changes_) ++changes_of[change.folder];
  std::vector<std::map<std::string, size_t>> progress = {{}};
  for (const auto& [folder, count] : changes_of) {
    std::vector<std::map<std::string, size_t>> more;
    for (const auto& some : progress) {
      for (size_t done = 0; done <= count; ++done) {
        more.push_back(some);
        more.back()[folder] = done;
      }
    }
    progress = std::move(more);
  }
  std::vector<std::map<int, std::string>> contents = {contents_};
  for (const auto& [file, changes] : data_changes_) {
    const auto at = contents_.find(file);
    const std::vector<std::string> possible = contents_with(at == contents_.end() ? "" : at->second, changes);
    std::vector<std::map<int, std::string>> more;
    for (const auto& some : contents) {
      for (const std::string& content : possible) {
        more.push_back(some);
        more.back()[file] = content;
      }
    }
    contents = std::move(more);
  }
  std::set<FileTree> trees;
  for (const auto& done : progress) {
    std::map<std::string, int> names = names_;
    std::map<std::string, size_t> come;
    for (const NameChange& change : name_changes_) {
      if (come[change.folder]++ < done.at(change.folder)) put_name(names, change.operation);
    }
    for (const auto& data : contents) {
      FileTree tree;
      for (const auto& [path, file] : names) {
        const std::string folder = folder_of(path);
        // Without its folder a name is nowhere. Those that were there before the first operation need none.
        const bool is_new_folder = std::ranges::any_of(name_changes_, [&](const NameChange& change) {
          return change.operation.kind == Kind::kMakeFolder && change.operation.path == folder;
        });
        if (is_new_folder && !names.contains(folder)) continue;
        const auto content = data.find(file);
        tree[path] = content == data.end() ? "" : content->second;
      }
      trees.insert(std::move(tree));
    }
  }
  return {trees.begin(), trees.end()};
}

}  // namespace tails::faults
