#include "host/resolver_audit.h"

#include <algorithm>
#include <array>
#include <string>

namespace tails::host {
namespace {

constexpr const char* kResolverTopic = "resolver";
constexpr const char* kResolvConf = "/etc/resolv.conf";

bool is_installed(const MachineFiles& files, std::string_view program) {
  return std::ranges::any_of(std::array{"/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}, [&](std::string_view folder) {
    return files.exists(std::string(folder) + std::string(program));
  });
}

void audit_resolv_conf(const MachineFiles& files, const std::string& wanted, Findings& findings) {
  const std::string remedy =
      "Let it be a file that says `nameserver " + wanted + "` and nothing else: `tails-iptc apply --host` writes it.";
  const auto link = files.link(kResolvConf);
  if (link) {
    findings.push_back({kResolverTopic, kResolvConf, "is a link to " + *link + ", which another program writes",
                        "rm /etc/resolv.conf && tails-iptc apply --host"});
  }
  const auto text = files.text(kResolvConf);
  if (!text) {
    if (!link) findings.push_back({kResolverTopic, kResolvConf, "cannot be read; programs then ask 127.0.0.1", remedy});
    return;
  }
  bool is_named = false;
  for (const std::string_view line : meaningful_lines(*text)) {
    const auto words = words_of(line);
    if (words.size() < 2 || words[0] != "nameserver") continue;
    if (words[1] == wanted) {
      is_named = true;
    } else {
      findings.push_back(
          {kResolverTopic, kResolvConf, "names the resolver " + std::string(words[1]) + " besides Tor's", remedy});
    }
  }
  if (!is_named) findings.push_back({kResolverTopic, kResolvConf, "does not name the resolver " + wanted, remedy});
}

/// The last `dns=` of [main], in the order in which NetworkManager reads its files.
void audit_network_manager(const MachineFiles& files, Findings& findings) {
  if (!is_installed(files, "NetworkManager")) return;
  std::vector<std::string> paths;
  for (const std::string& name : files.names("/usr/lib/NetworkManager/conf.d", ".conf")) {
    // A file of the same name in /etc takes its place.
    if (!files.exists("/etc/NetworkManager/conf.d/" + name)) paths.push_back("/usr/lib/NetworkManager/conf.d/" + name);
  }
  paths.emplace_back("/etc/NetworkManager/NetworkManager.conf");
  for (const std::string& name : files.names("/etc/NetworkManager/conf.d", ".conf")) {
    paths.push_back("/etc/NetworkManager/conf.d/" + name);
  }
  std::string mode = "default";
  std::string from = "/etc/NetworkManager/NetworkManager.conf";
  for (const std::string& path : paths) {
    bool is_main = false;
    for (const std::string_view line : meaningful_lines(files.text(path).value_or(""))) {
      if (line.starts_with('[')) is_main = line == "[main]";
      const auto setting = key_and_value(line);
      if (!is_main || !setting || setting->first != "dns") continue;
      mode = setting->second;
      from = path;
    }
  }
  if (mode == "none") return;
  findings.push_back({kResolverTopic, "NetworkManager", "writes /etc/resolv.conf (dns=" + mode + ", " + from + ")",
                      "printf '[main]\\ndns=none\\n' > /etc/NetworkManager/conf.d/zz-tails-iptc.conf && "
                      "systemctl reload NetworkManager"});
}

void audit_resolvconf(const MachineFiles& files, Findings& findings) {
  if (!is_installed(files, "resolvconf")) return;
  const bool is_at_work = files.exists("/run/resolvconf/enable-updates") ||
                          files.link(kResolvConf).value_or("").find("resolvconf") != std::string::npos;
  if (!is_at_work) return;
  findings.push_back({kResolverTopic, "resolvconf", "writes the resolvers of each network into /etc/resolv.conf",
                      "resolvconf --disable-updates, or remove the package"});
}

void audit_dhclient(const MachineFiles& files, const std::string& wanted, Findings& findings) {
  if (!is_installed(files, "dhclient")) return;
  for (const char* path : {"/etc/dhcp/dhclient.conf", "/etc/dhclient.conf"}) {
    for (const std::string_view line : meaningful_lines(files.text(path).value_or(""))) {
      const auto words = words_of(line);
      const bool is_fixed =
          words.size() == 3 && words[0] == "supersede" && words[1] == "domain-name-servers" && words[2] == wanted + ";";
      if (is_fixed) return;
    }
  }
  // A hook that redefines the function which writes the file does as well.
  for (const std::string& name : files.names("/etc/dhcp/dhclient-enter-hooks.d", "")) {
    const auto text = files.text("/etc/dhcp/dhclient-enter-hooks.d/" + name);
    if (text && text->find("make_resolv_conf") != std::string::npos) return;
  }
  findings.push_back({kResolverTopic, "dhclient", "writes the resolvers that a DHCP server names into /etc/resolv.conf",
                      "Add `supersede domain-name-servers " + wanted + ";` to /etc/dhcp/dhclient.conf."});
}

void audit_resolved(const MachineFiles& files, Findings& findings) {
  if (files.exists("/run/systemd/resolve/stub-resolv.conf")) {
    findings.push_back({kResolverTopic, "systemd-resolved",
                        "is at work and asks the resolvers of each network for whoever asks it",
                        "systemctl disable --now systemd-resolved"});
  }
  for (const std::string_view line : meaningful_lines(files.text("/etc/nsswitch.conf").value_or(""))) {
    const auto words = words_of(line);
    if (words.empty() || words[0] != "hosts:") continue;
    if (std::ranges::find(words, "resolve") == words.end()) continue;
    findings.push_back({kResolverTopic, "/etc/nsswitch.conf",
                        "sends host names to systemd-resolved, past /etc/resolv.conf",
                        "Remove the word `resolve` from the line `hosts:`."});
  }
}

/// The host of "http://user@host:port/", "socks5h://[::1]:9050", "host:port".
std::string_view host_of(std::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find('/'));
  if (const size_t at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
  if (url.starts_with('[')) return url.substr(1, url.find(']') - 1);
  return url.substr(0, url.find(':'));
}

bool is_of_this_machine(std::string_view host) {
  if (host == "localhost") return true;
  const auto address = IpAddress::parse(host);
  return address && (kLoopbackNetV4.contains(*address) || *address == kLoopbackV6);
}

std::string_view unquoted(std::string_view text) {
  const bool is_quoted =
      text.size() > 1 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return is_quoted ? text.substr(1, text.size() - 2) : text;
}

void judge_proxy(std::string_view file, std::string_view setting, std::string_view url, Findings& findings) {
  if (url.empty() || url == "DIRECT" || is_of_this_machine(host_of(url))) return;
  findings.push_back({"proxy", std::string(file),
                      std::string(setting) + " is " + std::string(url) + ", which is not on this machine",
                      "Name a proxy on loopback that the policy grants, or remove the setting."});
}

}  // namespace

Findings audit_resolver(const MachineFiles& files, const IpAddress& resolver) {
  Findings findings;
  const std::string wanted = to_string(resolver);
  audit_resolv_conf(files, wanted, findings);
  audit_network_manager(files, findings);
  audit_resolvconf(files, findings);
  audit_dhclient(files, wanted, findings);
  audit_resolved(files, findings);
  return findings;
}

Findings audit_proxies(const MachineFiles& files) {
  Findings findings;
  for (std::string_view line : meaningful_lines(files.text("/etc/environment").value_or(""))) {
    if (line.starts_with("export ")) line.remove_prefix(7);
    const auto setting = key_and_value(line);
    if (!setting) continue;
    std::string name(setting->first);
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (name.ends_with("_proxy") && name != "no_proxy") {
      judge_proxy("/etc/environment", setting->first, unquoted(setting->second), findings);
    }
  }
  std::vector<std::string> paths{"/etc/apt/apt.conf"};
  for (const std::string& name : files.names("/etc/apt/apt.conf.d", "")) paths.push_back("/etc/apt/apt.conf.d/" + name);
  for (const std::string& path : paths) {
    for (std::string_view line : meaningful_lines(files.text(path).value_or(""))) {
      if (line.starts_with("//")) continue;
      const auto words = words_of(line);
      if (words.size() < 2 || !words[0].starts_with("Acquire::") || !words[0].ends_with("::Proxy")) continue;
      std::string_view url = words[1];
      if (url.ends_with(';')) url.remove_suffix(1);
      judge_proxy(path, words[0], unquoted(url), findings);
    }
  }
  return findings;
}

Findings audit_filter_programs(const MachineFiles& files) {
  Findings findings;
  const auto is_enabled = [&](std::string_view unit) {
    return std::ranges::any_of(
        std::array{"multi-user", "sysinit", "basic", "network-pre", "default"}, [&](std::string_view target) {
          return files.exists("/etc/systemd/system/" + std::string(target) + ".target.wants/" + std::string(unit));
        });
  };
  const auto add = [&](const char* program, const char* fact, const char* remedy) {
    findings.push_back({"filter", program, fact, remedy});
  };
  for (const std::string_view line : meaningful_lines(files.text("/etc/ufw/ufw.conf").value_or(""))) {
    const auto setting = key_and_value(line);
    if (setting && setting->first == "ENABLED" && unquoted(setting->second) == "yes") {
      add("ufw", "is enabled and loads rules of its own", "ufw disable");
    }
  }
  if (files.exists("/run/firewalld") || is_enabled("firewalld.service")) {
    add("firewalld", "is at work or enabled, and loads rules of its own", "systemctl disable --now firewalld");
  }
  if (files.exists("/run/docker.sock") || files.exists("/run/docker.pid") || is_enabled("docker.service")) {
    add("docker", "is at work or enabled, forwards for its containers and adds rules for them",
        "systemctl disable --now docker.service docker.socket");
  }
  if (is_enabled("netfilter-persistent.service")) {
    add("netfilter-persistent", "loads the rules in /etc/iptables at boot", "systemctl disable netfilter-persistent");
  }
  if (is_enabled("nftables.service")) {
    add("nftables.service", "loads /etc/nftables.conf at boot", "systemctl disable --now nftables");
  }
  return findings;
}

}  // namespace tails::host
