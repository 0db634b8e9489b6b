#include "host/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "host/network_namespace.h"
#include "host/refusal.h"

namespace tails::host::sysctl {

std::optional<std::string> path_of(std::string_view name) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./+").find(c) != std::string_view::npos;
  };
  if (name.empty() || !std::ranges::all_of(name, is_allowed)) return std::nullopt;
  if (name.front() == '.' || name.back() == '.' || name.find("..") != std::string_view::npos) return std::nullopt;
  std::string path = "/proc/sys/";
  for (const char c : name) path += c == '.' ? '/' : (c == '/' ? '.' : c);
  // "a./.b" and the like would become a part "." or "..".
  if (path.find("/./") != std::string::npos || path.find("/../") != std::string::npos) return std::nullopt;
  return path;
}

std::string of_interface(std::string_view family, const InterfaceName& interface, std::string_view parameter) {
  std::string name(interface.view());
  for (char& c : name) c = c == '.' ? '/' : c;
  return "net." + std::string(family) + ".conf." + name + "." + std::string(parameter);
}

Result<std::optional<int64_t>> read(std::string_view name) {
  const auto path = path_of(name);
  if (!path) return refused("\"" + std::string(name) + "\" is no kernel parameter", EINVAL);
  const Descriptor file(::open(path->c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) {
    if (errno == ENOENT) return std::nullopt;
    return refused("cannot read " + *path, errno);
  }
  std::array<char, 64> text{};
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size < 0) return refused("cannot read " + *path, errno);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + size, value);
  if (error != std::errc{} || end == text.data() + size || *end != '\n') {
    return refused(*path + " does not hold one number", EINVAL);
  }
  return value;
}

Result<void> write(std::string_view name, int64_t value) {
  const auto now = read(name);
  if (!now) return tl::unexpected(now.error());
  if (*now == value) return {};
  const auto path = path_of(name);
  const Descriptor file(::open(path->c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.is_open()) return refused("cannot write " + *path, errno);
  const std::string text = std::to_string(value) + "\n";
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return refused("cannot write " + std::to_string(value) + " to " + *path, errno);
  }
  return {};
}

}  // namespace tails::host::sysctl
