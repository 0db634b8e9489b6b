#pragma once

#include <string>
#include <string_view>

#include "net/address.h"
#include "net/result.h"

/// The words of every failure that a Kernel reports, in one place, so that the running kernel and the one in memory
/// say the same. All are of kind kRefused.
namespace tails::iptc::kernel {

/// "IPv4", "IPv6".
std::string_view family_name(Family family);

/// `table "filter" of IPv4`.
std::string table_words(Family family, std::string_view table);

/// Somebody who ignores the xtables lock came in between at every try. EAGAIN.
Error contention_error();

/// A read that failed. ENOENT and ENOPROTOOPT name the module, the kernel's option and the command that loads it;
/// EAGAIN is a contention_error().
Error read_error(Family family, std::string_view table, int number);

/// A replacement that failed. EAGAIN: the table was changed meanwhile.
Error replace_error(Family family, std::string_view table, int number);

/// A question about a match or target that failed.
Error probe_error(Family family, std::string_view extension, int number);

/// The name of the kernel module that brings a table: "iptable_nat".
std::string table_module(Family family, std::string_view table);
/// The module that brings xtables for a family: "ip_tables".
std::string_view family_module(Family family);

}  // namespace tails::iptc::kernel
