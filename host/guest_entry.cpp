#include "host/guest_entry.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "host/network_namespace.h"
#include "host/refusal.h"

namespace tails::host {
namespace {

constexpr const char* kResolverFile = "/etc/resolv.conf";

/// The numbers of a user's groups, asked with more room until they fit.
std::vector<Gid> groups_of(const char* name, gid_t group) {
  std::vector<gid_t> numbers(64);
  int count = static_cast<int>(numbers.size());
  while (getgrouplist(name, group, numbers.data(), &count) < 0) {
    // glibc says how many there are; other libraries may not.
    numbers.resize(static_cast<size_t>(count) > numbers.size() ? static_cast<size_t>(count) : numbers.size() * 2);
    count = static_cast<int>(numbers.size());
  }
  std::vector<Gid> groups;
  for (int i = 0; i < count; ++i) groups.push_back(Gid{numbers[static_cast<size_t>(i)]});
  return groups;
}

}  // namespace

Result<Account> find_account(Uid uid) {
  std::array<char, 16384> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (const int error = getpwuid_r(uid.value, &entry, buffer.data(), buffer.size(), &found); error != 0) {
    return refused("cannot look up user " + std::to_string(uid.value), error);
  }
  if (found == nullptr) return Account{uid, Gid{uid.value}, {Gid{uid.value}}, {}, {}, {}};
  return Account{uid,           Gid{found->pw_gid}, groups_of(found->pw_name, found->pw_gid), found->pw_name,
                 found->pw_dir, found->pw_shell};
}

Result<void> enter_network(int namespace_descriptor) {
  if (setns(namespace_descriptor, CLONE_NEWNET) != 0) return refused("cannot enter the network namespace", errno);
  return {};
}

Result<void> use_resolver_file(const std::string& file) {
  // Never truncated: others may have it mounted.
  const Descriptor made(::open(file.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!made.is_open()) return refused("cannot open " + file, errno);
  if (unshare(CLONE_NEWNS) != 0) return refused("cannot make a mount namespace", errno);
  if (mount("", "/", "none", MS_SLAVE | MS_REC, nullptr) != 0) return refused("cannot keep mounts private", errno);
  if (mount(file.c_str(), kResolverFile, "none", MS_BIND, nullptr) != 0) {
    return refused("cannot put " + file + " in the place of " + kResolverFile, errno);
  }
  return {};
}

Result<void> become(const Account& account) {
  std::vector<gid_t> groups;
  for (const Gid& group : account.groups) groups.push_back(group.value);
  if (setgroups(groups.size(), groups.data()) != 0) return refused("cannot take on the groups", errno);
  if (setresgid(account.gid.value, account.gid.value, account.gid.value) != 0) {
    return refused("cannot become group " + std::to_string(account.gid.value), errno);
  }
  // Leaving UID 0 clears the capability sets, but for the ambient one, which would bring some back at execve.
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL) {
    return refused("cannot drop capabilities", errno);
  }
  if (setresuid(account.uid.value, account.uid.value, account.uid.value) != 0) {
    return refused("cannot become user " + std::to_string(account.uid.value), errno);
  }
  const std::array<std::pair<const char*, const std::string*>, 4> variables{
      {{"HOME", &account.home}, {"USER", &account.name}, {"LOGNAME", &account.name}, {"SHELL", &account.shell}}};
  for (const auto& [name, value] : variables) {
    if (!value->empty()) setenv(name, value->c_str(), 1);
  }
  return {};
}

}  // namespace tails::host
