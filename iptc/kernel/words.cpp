#include "iptc/kernel/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "net/errno_words.h"

namespace tails::iptc::kernel {
namespace {

struct ErrnoWords {
  int number;
  std::string_view words;
};

/// What an errno means where a table is replaced.
constexpr std::array<ErrnoWords, 7> kReplaceWords = {{
    {ENOENT, "the kernel lacks a match or target in it"},
    {ENOPROTOOPT, "the kernel has no iptables"},
    {EINVAL, "the kernel does not accept a rule in it"},
    {ELOOP, "a chain leads back to itself"},
    {EAGAIN, "another program changed it meanwhile"},
    {EEXIST, "a chain bears the name of a target"},
    {EPROTONOSUPPORT, "the kernel lacks a revision of a match or target in it"},
}};

std::string replace_words(int number) {
  const auto* const known = std::ranges::find(kReplaceWords, number, &ErrnoWords::number);
  return known != kReplaceWords.end() ? fmt::format("{} ({})", known->words, errno_name(number)) : errno_words(number);
}

std::string root_remedy() { return "Run as root, or use `tails-iptc show` to print the rules."; }

std::string load_remedy(std::string_view module, std::string_view option) {
  return fmt::format("Load it with `modprobe {}`; a kernel of your own needs {}=y or =m.", module, option);
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  return result;
}

}  // namespace

std::string_view family_name(Family family) { return family == Family::kIpv4 ? "IPv4" : "IPv6"; }

std::string table_words(Family family, std::string_view table) {
  return fmt::format("table \"{}\" of {}", table, family_name(family));
}

std::string_view family_module(Family family) { return family == Family::kIpv4 ? "ip_tables" : "ip6_tables"; }

std::string table_module(Family family, std::string_view table) {
  return fmt::format("{}_{}", family == Family::kIpv4 ? "iptable" : "ip6table", table);
}

Error contention_error() {
  return {ErrorKind::kRefused, "another program changes the rules all the time",
          "End it, or let it take the xtables lock as iptables -w does.", EAGAIN};
}

Error read_error(Family family, std::string_view table, int number) {
  if (number == EAGAIN) return contention_error();
  const std::string_view prefix = family == Family::kIpv4 ? "CONFIG_IP_NF_" : "CONFIG_IP6_NF_";
  if (number == ENOPROTOOPT) {
    return {ErrorKind::kRefused, fmt::format("this kernel has no iptables for {} (ENOPROTOOPT)", family_name(family)),
            load_remedy(family_module(family), fmt::format("{0}IPTABLES (from Linux 6.9: {0}IPTABLES_LEGACY)", prefix)),
            number};
  }
  if (number == ENOENT) {
    return {ErrorKind::kRefused, fmt::format("this kernel has no {} (ENOENT)", table_words(family, table)),
            load_remedy(table_module(family, table), fmt::format("{}{}", prefix, upper(table))), number};
  }
  return {ErrorKind::kRefused, fmt::format("cannot read {}: {}", table_words(family, table), errno_words(number)),
          number == EPERM || number == EACCES ? root_remedy() : std::string(), number};
}

Error replace_error(Family family, std::string_view table, int number) {
  return {ErrorKind::kRefused, fmt::format("cannot replace {}: {}", table_words(family, table), replace_words(number)),
          number == EPERM || number == EACCES ? root_remedy() : std::string(), number};
}

Error probe_error(Family family, std::string_view extension, int number) {
  if (number == ENOPROTOOPT) return read_error(family, "filter", number);
  return {
      ErrorKind::kRefused,
      fmt::format("cannot ask the kernel for \"{}\" of {}: {}", extension, family_name(family), errno_words(number)),
      number == EPERM || number == EACCES ? root_remedy() : std::string(), number};
}

}  // namespace tails::iptc::kernel
