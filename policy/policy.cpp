#include "policy/policy.h"

#include <string_view>

namespace tails::policy {

std::vector<User> accounts_of(const Policy& policy) {
  std::map<std::string_view, const User*> found;
  const auto add = [&](const User& user) { found.emplace(user.name, &user); };
  if (policy.tor) add(policy.tor->user);
  if (policy.live) add(*policy.live);
  for (const Direct& direct : policy.direct) add(direct.user);
  for (const Service& service : policy.services) {
    for (const User& user : service.allow) add(user);
    for (const User& user : service.deny) add(user);
  }
  std::vector<User> users;
  users.reserve(found.size());
  for (const auto& [name, user] : found) users.push_back(*user);
  return users;
}

}  // namespace tails::policy
