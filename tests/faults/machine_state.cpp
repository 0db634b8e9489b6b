#include "tests/faults/machine_state.h"

#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <tuple>

#include "conntrack/table.h"
#include "host/network_namespace.h"
#include "host/rtnetlink.h"
#include "host/sysctl.h"
#include "iptc/stepper.h"
#include "iptc/transaction.h"
#include "tests/faults/contents.h"

namespace tails::faults {
namespace {

namespace files = std::filesystem;
using iptc::kernel::RawTable;

constexpr const char* kFile = "file ";
constexpr const char* kSysctl = "sysctl ";

/// What is of no account: locks are empty, and /run/netns speaks by its names.
bool is_of_account(const std::string& name) { return name != "lock" && name != "xtables.lock" && name != "netns"; }

/// The record is a map that may hold more than is live.
bool is_compared(const std::string& name) {
  return name != "file /run/tails-iptc/applied" && name != "file /run/tails-iptc/";
}

/// A keeper's file bears its number and a time, an exception who added it and when.
std::string comparable(const std::string& name, const std::string& value) {
  if (name.starts_with("file /run/tails-iptc/confirm.")) return "";
  const size_t at = name.starts_with("file /run/tails-iptc/session-") ? value.find("[added]\n") : std::string::npos;
  const size_t end = at == std::string::npos ? at : value.find("\n\n", at);
  return end == std::string::npos ? value : value.substr(0, at) + value.substr(end);
}

void add_file(const files::path& path, MachineState& state) {
  const auto status = files::symlink_status(path);
  if (!files::exists(status)) return;
  if (files::is_directory(status)) {
    state.values[kFile + path.string() + "/"] = "";
    for (const auto& entry : files::directory_iterator(path)) {
      if (is_of_account(entry.path().filename())) add_file(entry.path(), state);
    }
    return;
  }
  std::ostringstream mode;
  mode << std::oct << static_cast<unsigned>(status.permissions());
  state.values[kFile + path.string()] = mode.str() + "\n" + contents(path);
}

void add_sysctls(MachineState& state) {
  std::vector<std::string> names = {"net.ipv4.ip_forward", "net.ipv4.tcp_mtu_probing", "net.ipv4.icmp_ratemask"};
  const auto add_interfaces = [&](const std::string& family, const std::vector<std::string>& parameters) {
    std::error_code ignored;
    for (const auto& entry : files::directory_iterator("/proc/sys/net/" + family + "/conf", ignored)) {
      for (const std::string& parameter : parameters) {
        names.push_back("net." + family + ".conf." + entry.path().filename().string() + "." + parameter);
      }
    }
  };
  add_interfaces("ipv4", {"forwarding", "rp_filter", "accept_redirects", "route_localnet"});
  add_interfaces("ipv6", {"disable_ipv6"});
  for (const std::string& name : names) {
    const auto value = host::sysctl::read(name);
    if (value && *value) state.values[kSysctl + name] = std::to_string(**value);
  }
}

Result<void> add_interfaces(const std::string& where, MachineState& state) {
  auto netlink = host::Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  const auto links = netlink->links();
  if (!links) return tl::unexpected(links.error());
  const auto addresses = netlink->addresses();
  if (!addresses) return tl::unexpected(addresses.error());
  for (const host::Link& link : *links) {
    std::string text = link.is_up ? "up" : "down";
    for (const host::LinkAddress& address : *addresses) {
      if (address.link_index == link.index && address.address.family == Family::kIpv4) {
        text += " " + to_string(address.address);
      }
    }
    state.values["interface " + where + std::string(link.name.view())] = text;
  }
  return {};
}

Result<void> add_tables(const std::string& where, MachineState& state) {
  const auto kernel = iptc::kernel::running_kernel();
  for (const auto& [family, table] :
       {std::pair(Family::kIpv6, "filter"), std::pair(Family::kIpv4, "filter"), std::pair(Family::kIpv4, "nat")}) {
    auto read = kernel->read(family, table);
    if (!read) return tl::unexpected(read.error());
    state.tables.emplace(where + (family == Family::kIpv6 ? "IPv6 " : "IPv4 ") + table, *std::move(read));
  }
  return {};
}

Result<void> add_flows(MachineState& state) {
  auto table = conntrack::FlowTable::open();
  if (!table) return tl::unexpected(table.error());
  return table->for_each({}, [&](const conntrack::Flow& flow) {
    const auto& [protocol, source, destination] =
        std::tie(flow.original.protocol, flow.original.source, flow.original.destination);
    std::ostringstream text;
    text << "flow " << int{protocol} << " " << to_string(source.address) << " " << source.port << " "
         << to_string(destination.address) << " " << destination.port;
    state.values[text.str()] = "";
  });
}

}  // namespace

Result<MachineState> look_at_machine() {
  MachineState state;
  for (const char* path : {"/run", "/etc/resolv.conf", "/etc/sysctl.d"}) add_file(path, state);
  add_sysctls(state);
  if (auto added = add_interfaces("", state); !added) return tl::unexpected(added.error());
  if (auto added = add_tables("", state); !added) return tl::unexpected(added.error());
  if (auto added = add_flows(state); !added) return tl::unexpected(added.error());
  for (const std::string& name : host::network_namespace::list()) {
    state.values["namespace " + name] = "";
    const auto space = host::network_namespace::open(name);
    if (!space || !*space) continue;
    auto looked = host::network_namespace::inside((*space)->get(), [&]() -> Result<void> {
      if (auto added = add_interfaces(name + " ", state); !added) return added;
      return add_tables(name + " ", state);
    });
    if (!looked) return tl::unexpected(looked.error());
  }
  return state;
}

Result<void> put_machine_back(const MachineState& state) {
  while (umount2("/run", MNT_DETACH) == 0) {
  }
  if (mount("tmpfs", "/run", "tmpfs", 0, "mode=755") != 0) return fail(ErrorKind::kRefused, "cannot mount /run");
  const auto now = look_at_machine();
  if (!now) return tl::unexpected(now.error());
  for (const auto& [name, value] : now->values) {
    if (name.starts_with(kFile) && !name.ends_with('/') && !state.values.contains(name)) {
      files::remove(name.substr(std::string_view(kFile).size()));
    }
  }
  // ip_forward writes parameters of interfaces as well: it comes first.
  const std::string first = std::string(kSysctl) + "net.ipv4.ip_forward";
  const auto put_sysctl = [](const std::string& name, const std::string& value) {
    return host::sysctl::write(name.substr(std::string_view(kSysctl).size()), std::stoll(value));
  };
  if (state.values.contains(first)) {
    if (auto put = put_sysctl(first, state.values.at(first)); !put) return put;
  }
  for (const auto& [name, value] : state.values) {
    if (name.starts_with(kSysctl)) {
      auto put = put_sysctl(name, value);
      // The interface may be one that is yet to be made.
      if (!put && put.error().system_errno != ENOENT) return put;
    }
    if (!name.starts_with(kFile)) continue;
    const std::string path = name.substr(std::string_view(kFile).size());
    if (path.ends_with('/')) {
      files::create_directories(path);
      continue;
    }
    const size_t end = value.find('\n');
    std::ofstream(path, std::ios::binary | std::ios::trunc) << value.substr(end + 1);
    chmod(path.c_str(), static_cast<mode_t>(std::stoul(value.substr(0, end), nullptr, 8)));
  }
  const auto kernel = iptc::kernel::running_kernel();
  const auto system_files = iptc::system_files();
  std::vector<iptc::TableChange> changes;
  for (const auto& [name, table] : state.tables) {
    if (!name.starts_with("IPv")) continue;
    changes.push_back({table.family, *ruleset::parse_table_name(table.name), {}, table, 0, false});
  }
  if (!iptc::restore(*kernel, *system_files, changes)) return fail(ErrorKind::kRefused, "cannot put the tables back");
  return {};
}

bool same_value(const std::string& name, const std::string& a, const std::string& b) {
  return !is_compared(name) || comparable(name, a) == comparable(name, b);
}

std::vector<std::string> differences(const MachineState& a, const MachineState& b) {
  std::vector<std::string> names;
  const auto compare = [&](const auto& here, const auto& there, const auto& is_same) {
    for (const auto& [name, value] : here) {
      if (!is_compared(name)) continue;
      const auto at = there.find(name);
      if (at == there.end() || !is_same(name, value, at->second)) names.push_back(name);
    }
    for (const auto& [name, value] : there) {
      if (is_compared(name) && !here.contains(name)) names.push_back(name);
    }
  };
  compare(a.tables, b.tables,
          [](const std::string&, const RawTable& x, const RawTable& y) { return iptc::kernel::same_rules(x, y); });
  compare(a.values, b.values, same_value);
  return names;
}

namespace {

bool any_policy(const MachineState& state, iptc::kernel::Policy policy) {
  return std::ranges::any_of(state.tables, [&](const auto& named) {
    return named.first.starts_with("IPv") && named.second.name == "filter" &&
           std::ranges::any_of(named.second.chains,
                               [&](const auto& chain) { return chain.policy && *chain.policy == policy; });
  });
}

}  // namespace

bool is_open(const MachineState& state) { return any_policy(state, iptc::kernel::Policy::kAccept); }
bool is_closed(const MachineState& state) { return !is_open(state); }

}  // namespace tails::faults
