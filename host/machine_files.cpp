#include "host/machine_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <memory>

#include "host/network_namespace.h"

namespace tails::host {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr std::string_view kSpace = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

}  // namespace

bool MachineFiles::exists(std::string_view path) const {
  struct stat status {};
  return lstat(at(path).c_str(), &status) == 0;
}

std::optional<std::string> MachineFiles::link(std::string_view path) const {
  std::array<char, PATH_MAX> target{};
  const ssize_t size = readlink(at(path).c_str(), target.data(), target.size());
  if (size < 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(size));
}

std::optional<std::string> MachineFiles::text(std::string_view path) const {
  std::string where(path);
  // An absolute link means a place below the root. Chains of links are short.
  for (int hops = 0; hops < 8; ++hops) {
    const auto target = link(where);
    if (!target) break;
    where = target->starts_with('/') ? *target : where.substr(0, where.rfind('/') + 1) + *target;
  }
  const Descriptor file(::open(at(where).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!file.is_open() || fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  std::string all;
  std::array<char, 4096> part{};
  for (ssize_t got = 0; all.size() < kMostBytes && (got = ::read(file.get(), part.data(), part.size())) > 0;) {
    all.append(part.data(), static_cast<size_t>(got));
  }
  return all;
}

std::vector<std::string> MachineFiles::names(std::string_view folder, std::string_view ending) const {
  std::vector<std::string> all;
  const auto close_folder = [](DIR* opened) { closedir(opened); };
  const std::unique_ptr<DIR, decltype(close_folder)> listing(opendir(at(folder).c_str()), close_folder);
  if (!listing) return all;
  while (const dirent* entry = readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    if (!name.starts_with('.') && name.ends_with(ending)) all.emplace_back(name);
  }
  std::ranges::sort(all);
  return all;
}

std::vector<std::string> meaningful_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    if (!line.empty() && line.front() != '#' && line.front() != ';') lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::optional<std::pair<std::string_view, std::string_view>> key_and_value(std::string_view line) {
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  return std::pair(trimmed(line.substr(0, equals)), trimmed(line.substr(equals + 1)));
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (true) {
    line = trimmed(line);
    if (line.empty()) return words;
    const size_t end = std::min(line.find_first_of(kSpace), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

}  // namespace tails::host
