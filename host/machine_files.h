#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Files of a machine below a root folder: "/" for this one, any other for an image or a test. A path is as on that
/// machine, absolute. Links are followed as they stand there, within the root.
namespace tails::host {

class MachineFiles {
 public:
  explicit MachineFiles(std::string root) : root_(std::move(root)) {
    while (root_.ends_with('/')) root_.pop_back();
  }

  /// Whether there is anything by that name, a dangling link included.
  [[nodiscard]] bool exists(std::string_view path) const;
  /// The target of a symbolic link, as it is written; nullopt where it is none.
  [[nodiscard]] std::optional<std::string> link(std::string_view path) const;
  /// At most 1 MiB of a regular file; nullopt where it cannot be read.
  [[nodiscard]] std::optional<std::string> text(std::string_view path) const;
  /// Names in a folder that end in `ending`, sorted; empty where it is none.
  [[nodiscard]] std::vector<std::string> names(std::string_view folder, std::string_view ending) const;

 private:
  [[nodiscard]] std::string at(std::string_view path) const { return root_ + std::string(path); }
  std::string root_;
};

/// Lines without white space at both ends, without empty ones and those that start with '#' or ';'.
std::vector<std::string> meaningful_lines(std::string_view text);
/// "key = value" in two, without the white space around them; nullopt without '='.
std::optional<std::pair<std::string_view, std::string_view>> key_and_value(std::string_view line);
/// Words between white space.
std::vector<std::string_view> words_of(std::string_view line);

}  // namespace tails::host
