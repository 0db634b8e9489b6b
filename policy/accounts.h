#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "policy/environment.h"
#include "policy/policy.h"
#include "policy/table_reader.h"

namespace tails::policy {

/// Turns the account names of a policy into numbers: --user-map first, then what [users] pins, then the system.
/// Each name is asked for once.
class Accounts {
 public:
  /// Keeps references to both.
  Accounts(const Environment& environment, const UserMap& user_map) : environment_(environment), user_map_(user_map) {}

  /// Reads a file's [users].
  void read(const TableReader& users);

  /// The account; nullopt when there is none, which is reported: as an error, or, where [users] calls the name
  /// optional and `may_be_absent`, as a notice at the first place that names it.
  std::optional<User> resolve(const Text& name, bool may_be_absent, Report& report);

 private:
  struct Pin {
    Uid uid;
    Place place;
  };

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void pin(const Member& member, const TableReader& users);
  std::optional<Uid> look_up(const Text& name, Report& report);
  std::string remedy_for_unknown(std::string_view name) const;

  const Environment& environment_;
  const UserMap& user_map_;
  std::map<std::string, Pin, std::less<>> pins_;
  std::set<std::string, std::less<>> optional_;
  std::unordered_map<std::string, std::optional<User>, TextHash, std::equal_to<>> resolved_;  ///< Asked very often.
  std::set<std::string, std::less<>> noticed_;
};

}  // namespace tails::policy
