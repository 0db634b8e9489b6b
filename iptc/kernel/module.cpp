#include "iptc/kernel/module.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>

namespace tails::iptc::kernel {
namespace {

/// Empty where this kernel loads no modules at all: then the file is missing.
std::string modprobe_path() {
  std::ifstream file("/proc/sys/kernel/modprobe");
  if (!file) return {};
  std::string path;
  std::getline(file, path);
  // Something else there ("/bin/true" is used to switch loading by the kernel off) is not asked in its place.
  return path.starts_with('/') && path.ends_with("/modprobe") ? path : "/sbin/modprobe";
}

}  // namespace

bool load_module(std::string_view module) {
  std::string path = modprobe_path();
  if (path.empty()) return false;
  std::string quiet = "-q";
  std::string end_of_options = "--";
  std::string name(module);
  const std::array<char*, 5> arguments = {path.data(), quiet.data(), end_of_options.data(), name.data(), nullptr};
  std::string search_path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  const std::array<char*, 2> environment = {search_path.data(), nullptr};
  pid_t child = 0;
  if (posix_spawn(&child, path.c_str(), nullptr, nullptr, arguments.data(), environment.data()) != 0) return false;
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void load_missing_modules() {
  constexpr std::array<const char*, 3> kIpv4 = {"ip_tables", "iptable_filter", "iptable_nat"};
  constexpr std::array<const char*, 2> kIpv6 = {"ip6_tables", "ip6table_filter"};
  if (access("/proc/net/ip_tables_names", F_OK) != 0) {
    for (const char* module : kIpv4) load_module(module);
  }
  const bool has_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
  if (has_ipv6 && access("/proc/net/ip6_tables_names", F_OK) != 0) {
    for (const char* module : kIpv6) load_module(module);
  }
}

}  // namespace tails::iptc::kernel
