// libiptc is not used: these are the kernel's own structures, read with getsockopt(2).
#include "tests/kernel/harness/rule_counters.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>

#include <cstddef>
#include <cstring>

#include "tests/kernel/harness/failure.h"

namespace tails::testbed {
namespace {

/// The structures of one family; their members have the same names.
struct V4 {
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Entry = ipt_entry;
  static constexpr size_t kHeader = offsetof(ipt_get_entries, entrytable);
  static constexpr int kLevel = IPPROTO_IP;
  static constexpr int kGetInfo = IPT_SO_GET_INFO;
  static constexpr int kGetEntries = IPT_SO_GET_ENTRIES;
};
struct V6 {
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Entry = ip6t_entry;
  static constexpr size_t kHeader = offsetof(ip6t_get_entries, entrytable);
  static constexpr int kLevel = IPPROTO_IPV6;
  static constexpr int kGetInfo = IP6T_SO_GET_INFO;
  static constexpr int kGetEntries = IP6T_SO_GET_ENTRIES;
};

constexpr std::array<const char*, NF_INET_NUMHOOKS> kHookChains = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT",
                                                                   "POSTROUTING"};

/// The name of the user chain that an ERROR entry opens; empty for any other entry.
template <class Entry>
std::string chain_opened_by(const char* bytes, const Entry& entry) {
  xt_error_target error{};
  if (entry.next_offset < entry.target_offset + sizeof error) return {};
  std::memcpy(&error, bytes + entry.target_offset, sizeof error);
  if (std::strcmp(error.target.u.user.name, XT_ERROR_TARGET) != 0) return {};
  return {error.errorname};
}

template <class Kernel>
Result<std::map<std::string, ChainCounts>> read_table(int socket, std::string_view table) {
  typename Kernel::Info info{};
  table.copy(info.name, sizeof info.name - 1);
  socklen_t length = sizeof info;
  if (::getsockopt(socket, Kernel::kLevel, Kernel::kGetInfo, &info, &length) != 0) return system_failure("GET_INFO");

  constexpr size_t kHeader = Kernel::kHeader;
  std::vector<char> buffer(kHeader + info.size);
  typename Kernel::Entries request;  // Not {}: for clang its array without a length is none that can be initialised.
  std::memset(&request, 0, sizeof request);
  table.copy(request.name, sizeof request.name - 1);
  request.size = info.size;
  std::memcpy(buffer.data(), &request, kHeader);
  length = static_cast<socklen_t>(buffer.size());
  if (::getsockopt(socket, Kernel::kLevel, Kernel::kGetEntries, buffer.data(), &length) != 0) {
    return system_failure("GET_ENTRIES");
  }

  std::map<std::string, ChainCounts> chains;
  std::string chain;
  for (uint32_t offset = 0; offset < info.size;) {
    const char* at = buffer.data() + kHeader + offset;
    typename Kernel::Entry entry{};
    std::memcpy(&entry, at, sizeof entry);
    for (size_t hook = 0; hook < kHookChains.size(); ++hook) {
      if ((info.valid_hooks >> hook & 1) != 0 && info.hook_entry[hook] == offset) chain = kHookChains.at(hook);
    }
    const std::string opened = chain_opened_by(at, entry);
    if (opened.empty()) {
      chains[chain].push_back(entry.counters.pcnt);
    } else {
      chain = opened;  // the last one, "ERROR", closes the table and has no entries
    }
    offset += entry.next_offset;
  }
  return chains;
}

}  // namespace

Result<RuleCounters> RuleCounters::open(const NetworkNamespace& where) {
  const Inside inside(where);
  Descriptor v4(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!v4.is_open()) return system_failure("raw socket");
  Descriptor v6(::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!v6.is_open()) return system_failure("raw IPv6 socket");
  return RuleCounters(std::move(v4), std::move(v6));
}

Result<std::map<std::string, ChainCounts>> RuleCounters::read(Family family, ruleset::TableName table) {
  return family == Family::kIpv4 ? read_table<V4>(v4_.get(), ruleset::to_string(table))
                                 : read_table<V6>(v6_.get(), ruleset::to_string(table));
}

}  // namespace tails::testbed
