#pragma once

#include "policy/environment.h"

namespace tails::policy {

/// This machine: /etc/passwd and getpwnam_r(3), access(2), getifaddrs(3). Runs no other program.
///
/// Users: /etc/passwd is read once and asked first (on Debian, nsswitch.conf names "files" first), so that a run that
/// finds all its accounts there loads no NSS module; what it lacks is asked of getpwnam_r.
/// One thread at a time: /etc/passwd is read at the first question.
class SystemEnvironment final : public Environment {
 public:
  [[nodiscard]] Result<std::optional<Uid>> user(std::string_view name) const override;
  [[nodiscard]] std::vector<std::string> user_names() const override;
  [[nodiscard]] bool path_exists(const std::string& path) const override;
  [[nodiscard]] Result<std::vector<InterfaceNetwork>> networks() const override;

 private:
  /// The first entry of each name in /etc/passwd.
  const UserMap& password_file() const;

  mutable std::optional<UserMap> accounts_;
};

}  // namespace tails::policy
