#include "host/sysctl_audit.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>

#include "host/rtnetlink.h"
#include "host/sysctl.h"

namespace tails::host {
namespace {

/// In this order they are written: what changes "all" and every interface, what changes every interface, what is of new
/// ones, and what changes nothing else.
enum class Reach { kForwarding, kAll, kDefault, kOne };
Reach reach(std::string_view name) {
  if (name == "net.ipv4.ip_forward") return Reach::kForwarding;
  if (name.find(".conf.all.") != std::string_view::npos) return Reach::kAll;
  return name.find(".conf.default.") != std::string_view::npos ? Reach::kDefault : Reach::kOne;
}

/// A value that is not as it should be.
struct Fault {
  std::string name;
  int64_t value = 0;
  int64_t wanted = 0;
  std::string why;  ///< Empty: the policy wants it.
};

/// What was looked at.
struct Faults {
  std::vector<Fault> all;
  /// What could not be: a name of a parameter, or "interfaces".
  std::vector<std::pair<std::string, Error>> unread;
};

Result<std::vector<Link>> all_links() {
  auto netlink = Rtnetlink::open();
  if (!netlink) return tl::unexpected(netlink.error());
  return netlink->links();
}

/// Everywhere: "all", "default" and each interface but loopback, as `net.ipv4.conf.WHERE.PARAMETER`.
std::vector<std::string> everywhere(const std::vector<Link>& links, std::string_view parameter, bool with_all) {
  std::vector<std::string> names;
  const std::string start = "net.ipv4.conf.";
  if (with_all) names.push_back(start + "all." + std::string(parameter));
  names.push_back(start + "default." + std::string(parameter));
  for (const Link& link : links) {
    if (!link.name.is_loopback()) names.push_back(sysctl::of_interface("ipv4", link.name, parameter));
  }
  return names;
}

Faults faults(const SysctlWish& wish) {
  Faults found;
  auto listed = all_links();
  if (!listed) found.unread.emplace_back("interfaces", listed.error());
  const std::vector<Link> links = listed ? std::move(*listed) : std::vector<Link>{};
  // Nullopt: this kernel has no such parameter, or it could not be read, which is noted.
  const auto value_of = [&](const std::string& name) -> std::optional<int64_t> {
    const auto value = sysctl::read(name);
    if (value) return *value;
    found.unread.emplace_back(name, value.error());
    return std::nullopt;
  };
  const auto expect = [&](const std::string& name, int64_t wanted, std::string why) {
    if (!why.empty() && wish.wanted.contains(name)) return;  // The policy knows better.
    const auto value = value_of(name);
    if (value && *value != wanted) found.all.push_back({name, *value, wanted, std::move(why)});
  };
  if (!wish.may_forward) expect("net.ipv4.ip_forward", 0, "this machine forwards packets, and no guest needs it");
  // An interface's bit counts as soon as it or "all" is set.
  for (const std::string& name : everywhere(links, "route_localnet", true)) {
    expect(name, 0, "packets for 127.0.0.0/8 from outside reach loopback services");
  }
  for (const std::string& name : everywhere(links, "accept_redirects", true)) {
    expect(name, 0, "neighbours may change routes (ICMP redirects)");
  }
  // The larger of "all" and the interface's counts. 2 and not 1: with two uplinks answers may come by either.
  if (value_of("net.ipv4.conf.all.rp_filter").value_or(0) == 0) {
    for (const std::string& name : everywhere(links, "rp_filter", false)) {
      if (value_of(name) == 0) expect(name, 2, "sources of packets are not checked");
    }
  }
  for (const auto& [name, wanted] : in_order(wish.wanted)) expect(name, wanted, "");
  return found;
}

std::string text_of(int64_t value) { return std::to_string(value); }

/// sysctl.d(5) allows '/' for '.' and a '-' in front, "ignore errors".
std::string normal_name(std::string_view name) {
  if (name.starts_with('-')) name.remove_prefix(1);
  std::string normal(name);
  const size_t separator = normal.find_first_of("./");
  if (separator != std::string::npos && normal[separator] == '/') {
    for (char& c : normal) c = c == '/' ? '.' : (c == '.' ? '/' : c);
  }
  return normal;
}

}  // namespace

Settings in_order(const std::map<std::string, int64_t>& wanted) {
  Settings settings(wanted.begin(), wanted.end());
  std::ranges::stable_sort(settings, {}, [](const auto& setting) { return reach(setting.first); });
  return settings;
}

Findings audit_sysctls(const SysctlWish& wish) {
  Findings findings;
  const Faults found = faults(wish);
  for (const auto& [name, error] : found.unread) {
    findings.push_back({"sysctl", name, error.message, error.remedy.empty() ? "Try again." : error.remedy});
  }
  for (const Fault& fault : found.all) {
    const std::string fact = fault.why.empty()
                                 ? "is " + text_of(fault.value) + ", the policy wants " + text_of(fault.wanted)
                                 : "is " + text_of(fault.value) + ": " + fault.why;
    findings.push_back({"sysctl", fault.name, fact,
                        "tails-iptc apply --host, or sysctl -w " + fault.name + "=" + text_of(fault.wanted)});
  }
  return findings;
}

Findings audit_sysctl_files(const MachineFiles& files, const std::map<std::string, int64_t>& wanted) {
  // Files of one name: the first folder wins. All names in one order.
  std::map<std::string, std::string> by_name;
  for (const std::string folder :
       {"/usr/lib/sysctl.d/", "/usr/local/lib/sysctl.d/", "/run/sysctl.d/", "/etc/sysctl.d/"}) {
    for (const std::string& name : files.names(folder, ".conf")) by_name[name] = folder + name;
  }
  std::vector<std::string> paths;
  for (const auto& [name, path] : by_name) paths.push_back(path);
  paths.emplace_back("/etc/sysctl.conf");
  std::map<std::string, std::pair<int64_t, std::string>> at_boot;
  for (const std::string& path : paths) {
    for (const std::string_view line : meaningful_lines(files.text(path).value_or(""))) {
      const auto setting = key_and_value(line);
      if (!setting) continue;
      int64_t value = 0;
      const std::string_view digits = setting->second;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      if (error != std::errc{} || end != digits.data() + digits.size()) continue;
      at_boot[normal_name(setting->first)] = {value, path};
    }
  }
  Findings findings;
  for (const auto& [name, value] : wanted) {
    const auto set = at_boot.find(name);
    if (set == at_boot.end() || set->second.first == value) continue;
    findings.push_back({"sysctl", name,
                        "will be " + text_of(set->second.first) + " after the next boot (" + set->second.second +
                            "), the policy wants " + text_of(value),
                        "Remove that line, or tails-iptc apply --host --persist."});
  }
  return findings;
}

Result<Settings> missing_settings(const SysctlWish& wish) {
  Settings settings;
  const Faults found = faults(wish);
  if (!found.unread.empty()) return tl::unexpected(found.unread.front().second);
  for (const Fault& fault : found.all) {
    settings.emplace_back(fault.name, fault.wanted);
    // A machine that stops to forward takes redirects again (net/ipv4/devinet.c, inet_forward_change).
    if (fault.name == "net.ipv4.ip_forward") settings.emplace_back("net.ipv4.conf.all.accept_redirects", 0);
  }
  // Writing "all" changes interfaces that are right now: what the policy says of them is written again.
  std::set<std::string> named;
  for (const auto& [name, value] : settings) named.insert(name);
  const bool has_all =
      std::ranges::any_of(settings, [](const auto& setting) { return reach(setting.first) == Reach::kAll; });
  for (const auto& [name, value] : in_order(wish.wanted)) {
    const auto now = sysctl::read(name);
    if (!now) return tl::unexpected(now.error());
    if (has_all && reach(name) == Reach::kOne && name.find(".conf.") != std::string::npos && *now &&
        !named.contains(name)) {
      settings.emplace_back(name, value);
    }
  }
  return settings;
}

namespace {

/// What writing `name` changes besides it: "all" changes every interface, and ip_forward the forwarding of each and
/// whether the machine takes redirects (net/ipv4/devinet.c, inet_forward_change).
std::vector<std::string> changed_with(const std::string& name, const std::vector<Link>& links) {
  constexpr std::string_view kAll = ".conf.all.";
  std::vector<std::string> names = {name};
  std::string start = "net.ipv4";
  std::string parameter = "forwarding";
  if (name == "net.ipv4.ip_forward") {
    names.emplace_back("net.ipv4.conf.all.accept_redirects");
  } else {
    const size_t at = name.find(kAll);
    if (at == std::string::npos) return names;
    start = name.substr(0, at);
    parameter = name.substr(at + kAll.size());
  }
  names.push_back(start + ".conf.default." + parameter);
  for (const Link& link : links) {
    names.push_back(sysctl::of_interface(start.substr(start.find('.') + 1), link.name, parameter));
  }
  return names;
}

}  // namespace

Result<Settings> write_settings(const Settings& settings) {
  // All of it is read before any of it is written: a value read later may be one that we wrote.
  const auto links = all_links();
  if (!links) return tl::unexpected(links.error());
  std::map<std::string, int64_t> values;
  for (const auto& [setting, value] : settings) {
    for (const std::string& name : changed_with(setting, *links)) {
      if (values.contains(name)) continue;
      const auto old = sysctl::read(name);
      if (!old) return tl::unexpected(old.error());
      if (*old) values.emplace(name, **old);
    }
  }
  Settings before = in_order(values);
  for (const auto& [name, value] : settings) {
    const auto written = sysctl::write(name, value);
    if (written) continue;
    Error error = written.error();
    if (const auto back = put_settings_back(before); !back) {
      error.remedy +=
          (error.remedy.empty() ? "" : " ") + std::string("Nor could all be put back: ") + back.error().message + ".";
    }
    return tl::unexpected(std::move(error));
  }
  return before;
}

Result<void> put_settings_back(const Settings& before) {
  Result<void> result;
  for (const auto& [name, value] : before) {
    auto written = sysctl::write(name, value);
    // An interface may have gone meanwhile.
    if (!written && written.error().system_errno != ENOENT && result) result = std::move(written);
  }
  return result;
}

}  // namespace tails::host
