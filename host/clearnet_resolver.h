#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.h"
#include "net/result.h"

/// The resolvers that the local network gave, for the one user that may ask them (docs/policy.md, `[host]`).
namespace tails::host {

/// A variable of the environment; nullopt: not set.
using Variable = std::function<std::optional<std::string>(const char* name)>;

struct Resolvers {
  std::vector<IpAddress> addresses;  ///< In the order given, none twice; at most kMaxResolvers.
  std::string source;                ///< The variable that named them; empty: none did.
  std::vector<std::string> refused;  ///< Words that are no address, or none that can be a resolver on a network.
};
inline constexpr size_t kMaxResolvers = 16;

/// Reads the resolvers from what NetworkManager gives its hooks (NetworkManager-dispatcher(8)), and failing that
/// ifupdown's or dhclient's: the first of DHCP4_DOMAIN_NAME_SERVERS, IP4_NAMESERVERS, IF_DNS_NAMESERVERS and
/// new_domain_name_servers that is set and not blank. What is in them came from the network: only words that are an
/// IPv4 address, and not a loopback, multicast or unspecified one, are taken. Pure but for `variable`.
Resolvers read_resolvers(const Variable& variable);

/// The content of a resolv.conf(5) that names them.
std::string resolver_file(const Resolvers& resolvers);

/// Makes `path` hold `content`: truncates and refills the file that is there, because another namespace may have it
/// bind-mounted, and a new file in its place would not be seen there. Makes it (mode 0644) where it is missing, and
/// does nothing where it holds `content` already. True: it was written, and is on the disk. A failure half-way or a
/// power cut may leave it empty: no resolver is named then. Fails (kRefused) on a symbolic link, on what is no regular
/// file, and when the system refuses.
Result<bool> refill(const std::string& path, std::string_view content);

}  // namespace tails::host
