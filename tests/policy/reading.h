#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/read.h"
#include "tests/policy/fixed_environment.h"

namespace tails::testing {

/// A machine with the profiles' accounts, amnesia, and one named "void" whose number is "no user".
inline FixedEnvironment usual_machine() {
  FixedEnvironment machine;
  machine.users = profile_users();
  machine.users["amnesia"] = Uid{1000};
  machine.users["void"] = Uid{kInvalidId};
  machine.paths = {"/usr/share/i2p"};
  return machine;
}

/// Reads one file, "policy.toml".
inline policy::Reading read_text(std::string_view text, const policy::Environment& machine = usual_machine(),
                                 const policy::UserMap& user_map = {}) {
  const policy::Document document{"policy.toml", std::string(text), false};
  return policy::read({&document, 1}, machine, user_map);
}

/// Reads "policy.toml" with drop-ins, each a name and a text.
inline policy::Reading read_with_drop_ins(std::string_view text,
                                          const std::vector<std::pair<std::string, std::string>>& drop_ins) {
  std::vector<policy::Document> documents{{"policy.toml", std::string(text), false}};
  for (const auto& [name, drop_in] : drop_ins) documents.push_back({name, drop_in, true});
  return policy::read(documents, usual_machine());
}

}  // namespace tails::testing
