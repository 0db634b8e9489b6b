#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "policy/environment.h"

namespace tails::testing {

/// A machine that is just what a test says it is.
class FixedEnvironment final : public policy::Environment {
 public:
  policy::UserMap users;
  std::set<std::string> paths;
  std::vector<InterfaceNetwork> interface_networks;
  std::optional<Error> user_error;      ///< What every question for a user fails with.
  std::optional<Error> networks_error;  ///< The same for the networks.

  [[nodiscard]] Result<std::optional<Uid>> user(std::string_view name) const override {
    if (user_error) return tl::unexpected(*user_error);
    const auto at = users.find(name);
    return at == users.end() ? std::optional<Uid>{} : at->second;
  }
  [[nodiscard]] std::vector<std::string> user_names() const override {
    std::vector<std::string> names;
    for (const auto& [name, uid] : users) names.push_back(name);
    return names;
  }
  [[nodiscard]] bool path_exists(const std::string& path) const override { return paths.contains(path); }
  [[nodiscard]] Result<std::vector<InterfaceNetwork>> networks() const override {
    if (networks_error) return tl::unexpected(*networks_error);
    return interface_networks;
  }
};

/// Numbers for every account that the built-in profiles name, amnesia apart (which they pin).
inline policy::UserMap profile_users() {
  return {{"root", Uid{0}},
          {"_apt", Uid{42}},
          {"proxy", Uid{13}},
          {"nobody", Uid{65534}},
          {"debian-tor", Uid{107}},
          {"clearnet", Uid{110}},
          {"htp", Uid{111}},
          {"tails-iuk-get-target-file", Uid{112}},
          {"tails-upgrade-frontend", Uid{113}},
          {"Debian-gdm", Uid{114}},
          {"tor-launcher", Uid{115}},
          {"i2psvc", Uid{116}},
          {"i2pbrowser", Uid{117}}};
}

}  // namespace tails::testing
