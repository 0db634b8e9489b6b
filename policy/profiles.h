#pragma once

#include <span>
#include <string_view>

namespace tails::policy {

/// A policy that is compiled into the program, from policies/*.toml. Static storage.
struct Profile {
  std::string_view name;  ///< "tails"
  std::string_view file;  ///< "tails.toml", as origins and messages name it.
  std::string_view text;  ///< TOML, UTF-8.
};

/// All of them; the default one, "tails", first.
std::span<const Profile> profiles();

/// Nullptr when there is none of that name.
const Profile* find_profile(std::string_view name);

}  // namespace tails::policy
