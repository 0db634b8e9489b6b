#include "host/program_finder.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <string_view>

namespace tails::host {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

/// Inodes of the user's sockets at that local port: columns of /proc/net/tcp and its like (proc(5)).
void add_inodes(const char* path, Uid user, Port port, std::set<std::string>& inodes) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    unsigned local_port = 0, owner = 0;
    unsigned long inode = 0;
    // sl local rem st tx:rx tr:when retrnsmt uid timeout inode
    if (std::sscanf(line.c_str(), "%*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %*x %*x:%*x %*x:%*x %*x %u %*d %lu",
                    &local_port, &owner, &inode) != 3) {
      continue;
    }
    if (local_port == port && owner == user.value && inode != 0)
      inodes.insert("socket:[" + std::to_string(inode) + "]");
  }
}

std::string name_of(const std::string& process) {
  std::ifstream file(process + "/comm");
  std::string name;
  std::getline(file, name);
  for (char& c : name) c = std::iscntrl(static_cast<unsigned char>(c)) != 0 ? '?' : c;
  return name;
}

bool holds(const std::string& process, const std::set<std::string>& inodes) {
  const std::string path = process + "/fd";
  const Folder folder(::opendir(path.c_str()));
  if (folder == nullptr) return false;
  while (const dirent* entry = ::readdir(folder.get())) {
    std::array<char, 64> target{};
    const std::string link = path + "/" + entry->d_name;
    const ssize_t size = ::readlink(link.c_str(), target.data(), target.size());
    if (size > 0 && inodes.contains(std::string(target.data(), static_cast<size_t>(size)))) return true;
  }
  return false;
}

}  // namespace

std::optional<Program> find_program(Uid user, uint8_t number, Port port) {
  std::set<std::string> inodes;
  if (number == protocol::kTcp) {
    add_inodes("/proc/net/tcp", user, port, inodes);
    add_inodes("/proc/net/tcp6", user, port, inodes);
  } else if (number == protocol::kUdp) {
    add_inodes("/proc/net/udp", user, port, inodes);
    add_inodes("/proc/net/udp6", user, port, inodes);
  }
  if (inodes.empty()) return std::nullopt;
  const Folder processes(::opendir("/proc"));
  while (const dirent* entry = processes == nullptr ? nullptr : ::readdir(processes.get())) {
    int pid = 0;
    const std::string_view name = entry->d_name;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) continue;
    const std::string process = "/proc/" + std::string(name);
    if (holds(process, inodes)) return Program{pid, name_of(process)};
  }
  return std::nullopt;
}

std::optional<Program> ProgramFinder::find(Uid user, uint8_t number, const Endpoint& source) {
  const auto now = std::chrono::steady_clock::now();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    looks_ = 0;
    known_.clear();
  }
  if (source.port == 0) return std::nullopt;
  const Key key{user.value, number, source.port};
  if (const auto known = known_.find(key); known != known_.end()) return known->second;
  if (looks_ == kMostPerSecond) return std::nullopt;
  ++looks_;
  return known_[key] = look_(user, number, source.port);
}

}  // namespace tails::host
