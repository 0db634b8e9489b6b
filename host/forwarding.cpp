#include "host/forwarding.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "host/network_namespace.h"
#include "host/refusal.h"
#include "host/sysctl.h"

namespace tails::host::forwarding {
namespace {

constexpr const char* kForward = "net.ipv4.ip_forward";
/// The kernel changes it with ip_forward: a router takes no redirects (net/ipv4/devinet.c, inet_forward_change).
constexpr const char* kRedirects = "net.ipv4.conf.all.accept_redirects";

/// One write of a few bytes: the note is there whole or, after a kill, empty. Then nothing was changed yet, and what is
/// so now goes into it. A whole one counts: it is from before the first change.
Result<void> write_note(const std::string& path, int64_t forward, int64_t redirects) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file.is_open()) return refused("cannot make " + path, errno);
  struct stat earlier {};
  if (::fstat(file.get(), &earlier) != 0) return refused("cannot look at " + path, errno);
  if (earlier.st_size != 0) return {};
  const std::string text = std::to_string(forward) + " " + std::to_string(redirects) + "\n";
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return refused("cannot write " + path, errno);
  }
  return {};
}

}  // namespace

Result<void> enable(const std::vector<Guest>& guests, const std::string& note) {
  if (std::ranges::none_of(guests, &Guest::internet)) return {};
  const auto forward = sysctl::read(kForward);
  const auto redirects = sysctl::read(kRedirects);
  if (!forward || !redirects) return tl::unexpected((forward ? redirects : forward).error());
  if (forward->value_or(0) == 0) {
    if (auto noted = write_note(note, 0, redirects->value_or(1)); !noted) return noted;
    if (auto set = sysctl::write(kForward, 1); !set) return set;
  }
  for (const Guest& guest : guests) {
    auto set = sysctl::write(sysctl::of_interface("ipv4", guest.host_interface, "forwarding"), guest.internet);
    // A guest that is not up has no interface to forward by.
    if (!set && set.error().system_errno != ENOENT) return set;
  }
  return {};
}

Result<void> disable(const std::string& note) {
  const Descriptor file(::open(note.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file.is_open()) return errno == ENOENT ? Result<void>{} : refused("cannot read " + note, errno);
  std::array<char, 32> text{};
  const ssize_t length = ::read(file.get(), text.data(), text.size() - 1);
  if (length < 0) return refused("cannot read " + note, errno);
  // An empty one was left before anything was changed (write_note).
  if (length > 0) {
    if (auto set = sysctl::write(kForward, 0); !set) return set;
    const bool took_redirects = std::strcmp(text.data(), "0 0\n") != 0;
    if (auto set = sysctl::write(kRedirects, took_redirects ? 1 : 0); !set) return set;
  }
  if (::unlink(note.c_str()) != 0 && errno != ENOENT) return refused("cannot remove " + note, errno);
  return {};
}

}  // namespace tails::host::forwarding
