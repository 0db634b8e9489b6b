#include "policy/system_environment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace tails::policy {
namespace {

struct CloseFile {
  // Only read from, so closing has nothing to say.
  void operator()(std::FILE* file) const {
    static_cast<void>(std::fclose(file));
  }  // NOLINT(cppcoreguidelines-owning-memory)
};

/// Empty when the file cannot be read.
std::string read_whole(const char* path) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path, "re"));
  std::string text;
  std::array<char, 8192> piece{};
  while (file != nullptr) {
    const size_t count = std::fread(piece.data(), 1, piece.size(), file.get());
    if (count == 0) break;
    text.append(piece.data(), count);
  }
  return text;
}

/// "name:x:1000:…": name and number, nullopt for a comment, a NIS line ("+…") or a broken one.
std::optional<std::pair<std::string_view, Uid>> parse_passwd_line(std::string_view line) {
  const size_t name_end = line.find(':');
  if (name_end == std::string_view::npos || name_end == 0 || line[0] == '+' || line[0] == '-' || line[0] == '#') {
    return std::nullopt;
  }
  const size_t uid_start = line.find(':', name_end + 1);
  if (uid_start == std::string_view::npos) return std::nullopt;
  const std::string_view rest = line.substr(uid_start + 1);
  Uid uid;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), uid.value);
  if (error != std::errc{} || end == rest.data() + rest.size() || *end != ':') return std::nullopt;
  return std::pair(line.substr(0, name_end), uid);
}

std::optional<IpAddress> address_of(const sockaddr* from) {
  if (from == nullptr) return std::nullopt;
  if (from->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, from, sizeof in);
    return IpAddress::from_wire(Family::kIpv4, &in.sin_addr);
  }
  if (from->sa_family == AF_INET6) {
    sockaddr_in6 in6{};
    std::memcpy(&in6, from, sizeof in6);
    return IpAddress::from_wire(Family::kIpv6, &in6.sin6_addr);
  }
  return std::nullopt;
}

}  // namespace

const UserMap& SystemEnvironment::password_file() const {
  if (!accounts_) {
    accounts_.emplace();
    const std::string text = read_whole("/etc/passwd");
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      if (const auto entry = parse_passwd_line(std::string_view(text).substr(at, end - at))) {
        accounts_->emplace(entry->first, entry->second);
      }
      at = end + 1;
    }
  }
  return *accounts_;
}

Result<std::optional<Uid>> SystemEnvironment::user(std::string_view name) const {
  if (const auto known = password_file().find(name); known != password_file().end()) return known->second;

  const std::string zero_terminated(name);
  std::vector<char> buffer(1024);
  while (true) {
    passwd entry{};
    passwd* found = nullptr;
    const int error = getpwnam_r(zero_terminated.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr) return Uid{entry.pw_uid};
    // getpwnam_r(3), "ERRORS": 0 and these mean that the name was not found.
    if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM) {
      return std::optional<Uid>{};
    }
    if (error == EINTR) continue;
    if (error == ERANGE && buffer.size() < (size_t{1} << 20)) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    return fail(
        ErrorKind::kRefused,
        fmt::format("cannot look up user \"{}\": {} ({})", name, strerrordesc_np(error), strerrorname_np(error)),
        "Pin its number under [users], or pass --user-map.", error);
  }
}

std::vector<std::string> SystemEnvironment::user_names() const {
  std::vector<std::string> names;
  for (const auto& [name, uid] : password_file()) names.push_back(name);
  return names;
}

bool SystemEnvironment::path_exists(const std::string& path) const { return access(path.c_str(), F_OK) == 0; }

Result<std::vector<Environment::InterfaceNetwork>> SystemEnvironment::networks() const {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    const int error = errno;
    return fail(ErrorKind::kRefused,
                fmt::format("cannot list the networks of this machine: {} ({})", strerrordesc_np(error),
                            strerrorname_np(error)),
                {}, error);
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  std::vector<InterfaceNetwork> networks;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const auto address = address_of(entry->ifa_addr);
    const auto mask = address_of(entry->ifa_netmask);
    // An address may carry a label, "eth0:1".
    const std::string_view label = entry->ifa_name;
    const auto interface = InterfaceName::make(label.substr(0, label.find(':')));
    if (!address || !mask || !interface || address->family != mask->family) continue;
    const auto length = prefix_length(*mask);
    if (!length) continue;
    networks.push_back({*interface, *Prefix::make(*address, *length)});
  }
  return networks;
}

}  // namespace tails::policy
