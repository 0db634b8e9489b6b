#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/ids.h"
#include "net/interface_name.h"
#include "net/result.h"

namespace tails::policy {

/// Accounts pinned for one run: `--user-map`.
using UserMap = std::map<std::string, Uid, std::less<>>;

/// What reading a policy asks of the machine. Passed in, so that reading itself is a function of values.
class Environment {
 public:
  /// An address of an interface, as its network.
  struct InterfaceNetwork {
    InterfaceName interface;
    Prefix network;
  };

  virtual ~Environment() = default;

  /// The account's number; nullopt when there is no such account. Fails when the database cannot be asked.
  [[nodiscard]] virtual Result<std::optional<Uid>> user(std::string_view name) const = 0;
  /// Names to suggest for a mistyped one. May be incomplete.
  [[nodiscard]] virtual std::vector<std::string> user_names() const = 0;
  /// The answer to `when = { path = "…" }`.
  [[nodiscard]] virtual bool path_exists(const std::string& path) const = 0;
  /// The networks of all addresses of this machine. Fails when the kernel does not tell.
  [[nodiscard]] virtual Result<std::vector<InterfaceNetwork>> networks() const = 0;

 protected:  // copied only as what it really is
  Environment() = default;
  Environment(const Environment&) = default;
  Environment(Environment&&) = default;
  Environment& operator=(const Environment&) = default;
  Environment& operator=(Environment&&) = default;
};

}  // namespace tails::policy
