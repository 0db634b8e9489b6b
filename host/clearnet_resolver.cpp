#include "host/clearnet_resolver.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "host/machine_files.h"
#include "host/network_namespace.h"
#include "net/errno_words.h"

namespace tails::host {
namespace {

constexpr std::array kVariables = {"DHCP4_DOMAIN_NAME_SERVERS", "IP4_NAMESERVERS", "IF_DNS_NAMESERVERS",
                                   "new_domain_name_servers"};
constexpr Prefix kThisNetwork = *Prefix::make(IpAddress::v4(0, 0, 0, 0), 8);
constexpr Prefix kMulticastAndAbove = *Prefix::make(IpAddress::v4(224, 0, 0, 0), 3);

bool can_be_resolver(const IpAddress& address) {
  return address.family == Family::kIpv4 && !kThisNetwork.contains(address) && !kLoopbackNetV4.contains(address) &&
         !kMulticastAndAbove.contains(address);
}

tl::unexpected<Error> not_written(const std::string& path, int number) {
  return fail(ErrorKind::kRefused, "cannot write \"" + path + "\": " + errno_words(number), {}, number);
}

}  // namespace

Resolvers read_resolvers(const Variable& variable) {
  Resolvers resolvers;
  for (const char* name : kVariables) {
    std::optional<std::string> text = variable(name);
    if (!text) continue;
    std::ranges::replace(*text, ',', ' ');
    const auto words = words_of(*text);
    if (words.empty()) continue;
    resolvers.source = name;
    for (const std::string_view word : words) {
      const auto address = IpAddress::parse(word);
      if (!address || !can_be_resolver(*address)) {
        resolvers.refused.emplace_back(word);
      } else if (resolvers.addresses.size() < kMaxResolvers &&
                 std::ranges::find(resolvers.addresses, *address) == resolvers.addresses.end()) {
        resolvers.addresses.push_back(*address);
      }
    }
    return resolvers;
  }
  return resolvers;
}

std::string resolver_file(const Resolvers& resolvers) {
  std::string text;
  for (const IpAddress& address : resolvers.addresses) text += "nameserver " + to_string(address) + "\n";
  return text;
}

Result<bool> refill(const std::string& path, std::string_view content) {
  // O_NOFOLLOW: a link could point root's pen anywhere. O_NONBLOCK: a pipe must not hold us.
  const Descriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644));
  if (!file.is_open()) return not_written(path, errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return not_written(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorKind::kRefused, "cannot write \"" + path + "\": it is not a regular file", {}, EINVAL);
  }
  std::string before(content.size() + 1, '\0');
  const ssize_t had = ::pread(file.get(), before.data(), before.size(), 0);
  if (had < 0) return not_written(path, errno);
  if (std::string_view(before).substr(0, static_cast<size_t>(had)) == content) return false;

  // A power cut leaves the old text, none, or the new one, and never a mixture: each step is on the disk before the
  // next.
  if (::ftruncate(file.get(), 0) != 0 || ::fsync(file.get()) != 0) return not_written(path, errno);
  for (size_t written = 0; written < content.size();) {
    const ssize_t bytes =
        ::pwrite(file.get(), content.data() + written, content.size() - written, static_cast<off_t>(written));
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) return not_written(path, errno);
    written += static_cast<size_t>(bytes);
  }
  if (::fsync(file.get()) != 0) return not_written(path, errno);
  return true;
}

}  // namespace tails::host
