#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/interface_name.h"
#include "net/result.h"

namespace tails::host::sysctl {

/// The file of a kernel parameter: "net.ipv4.ip_forward" is /proc/sys/net/ipv4/ip_forward. As sysctl(8) does, a
/// '/' in the name stands for a '.' of an interface's name ("net.ipv4.conf.eth0/100.forwarding").
/// Nullopt for names that could leave /proc/sys ("..", empty parts) or hold other than letters, digits, '_', '-',
/// '.', '/' and '+'.
std::optional<std::string> path_of(std::string_view name);

/// The name of a parameter of one interface: "net.ipv4.conf.eth0/100.forwarding" for "ipv4", eth0.100, "forwarding".
std::string of_interface(std::string_view family, const InterfaceName& interface, std::string_view parameter);

/// The parameter's number, of the calling thread's network namespace. Nullopt: this kernel does not have it.
/// Errors (kRefused): permission, a value that is not one number.
Result<std::optional<int64_t>> read(std::string_view name);

/// Writes where the value is another one. Error ENOENT: this kernel does not have it.
Result<void> write(std::string_view name, int64_t value);

}  // namespace tails::host::sysctl
