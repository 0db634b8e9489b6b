#include "cli/accounts.h"

#include <charconv>
#include <map>
#include <memory>

#include <fmt/format.h>

#include "net/nearest.h"

namespace tails::cli {

Result<Uid> find_account(std::string_view name_or_number, const GlobalOptions& global,
                         const std::vector<policy::User>& known, const policy::Environment& environment) {
  uint32_t number = 0;
  const auto [end, problem] =
      std::from_chars(name_or_number.data(), name_or_number.data() + name_or_number.size(), number);
  if (problem == std::errc{} && end == name_or_number.data() + name_or_number.size() && number != kInvalidId)
    return Uid{number};

  if (const auto pinned = global.user_map.find(name_or_number); pinned != global.user_map.end()) return pinned->second;
  std::vector<std::string> names = environment.user_names();
  for (const auto& [name, uid] : global.user_map) names.push_back(name);
  for (const policy::User& user : known) {
    if (user.name == name_or_number) return user.uid;
    names.push_back(user.name.str());
  }
  const Result<std::optional<Uid>> found = environment.user(name_or_number);
  if (!found) return tl::unexpected(found.error());
  if (*found) return **found;
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::optional<std::string_view> meant = nearest(name_or_number, views);
  return fail(ErrorKind::kUsage, fmt::format("user \"{}\" is not known on this system", name_or_number),
              fmt::format("{}A number will do, or --user-map {}=UID.",
                          meant ? fmt::format("Did you mean \"{}\"? ", *meant) : "", name_or_number));
}

UserNames user_names(const GlobalOptions& global, const std::vector<policy::User>& known,
                     const policy::Environment& environment) {
  auto names = std::make_shared<std::map<Uid, std::string>>();
  for (const auto& [name, uid] : global.user_map) names->emplace(uid, name);
  for (const policy::User& user : known) names->emplace(user.uid, user.name);
  for (const std::string& name : environment.user_names()) {
    const Result<std::optional<Uid>> uid = environment.user(name);
    if (uid && *uid) names->emplace(**uid, name);
  }
  return [names](Uid uid) -> std::optional<std::string> {
    const auto found = names->find(uid);
    return found == names->end() ? std::nullopt : std::optional(found->second);
  };
}

}  // namespace tails::cli
