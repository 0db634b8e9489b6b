#include "cli/hook.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include "net/interface_name.h"

namespace tails::cli {
namespace {

constexpr std::string_view kNetworkManagerLink = "50-tails-iptc";
constexpr std::string_view kIfupdownFolder = "/etc/network/if-";
constexpr std::string_view kIfupdownLink = "tails-iptc";

constexpr std::array<std::string_view, 9> kNetworkManagerEvents = {
    "pre-up", "up", "down", "dhcp4-change", "dhcp6-change", "reapply", "vpn-pre-up", "vpn-up", "vpn-down"};
constexpr std::array<std::string_view, 4> kIfupdownPhases = {"pre-up", "post-up", "pre-down", "post-down"};
/// What host::read_resolvers asks for.
constexpr std::array<const char*, 4> kResolvers = {"DHCP4_DOMAIN_NAME_SERVERS", "IP4_NAMESERVERS", "IF_DNS_NAMESERVERS",
                                                   "new_domain_name_servers"};
constexpr size_t kLongestVariable = 4096;

/// Addresses in words: nothing that a shell, a path or a terminal would take for more.
bool holds_addresses(std::string_view text) {
  return text.size() <= kLongestVariable && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' || c == ':' ||
                  c == '%' || c == ',' || c == ' ' || c == '\t' || c == '\n';
         });
}

/// As the kernel takes it, and also without characters that a log or a terminal would not show as they are. An address
/// of an interface may have a label behind a colon ("eth0:1").
bool is_interface(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  };
  const size_t colon = name.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view label = name.substr(colon + 1);
    if (label.empty() || label.size() > InterfaceName::kMaxLength || !std::ranges::all_of(label, is_letter))
      return false;
    name = name.substr(0, colon);
  }
  return InterfaceName::make(name).has_value() && std::ranges::all_of(name, [](char c) { return c > ' ' && c <= '~'; });
}

tl::unexpected<Error> no_name(std::string_view what, std::string_view text) {
  constexpr size_t kShown = 64;
  return fail(ErrorKind::kUsage, fmt::format("the hook was given {:?} as {}", text.substr(0, kShown), what),
              "It is for NetworkManager and ifupdown to run. By hand: `tails-iptc reconfigure`.");
}

HookRun reconfigure(std::string_view interface, std::string_view event, const HookVariable& variable) {
  HookRun run;
  run.words = {"--wait", "30", "reconfigure", fmt::format("--interface={}", interface),
               fmt::format("--event={}", event)};
  for (const char* name : kResolvers) {
    const std::optional<std::string> value = variable(name);
    if (!value) continue;
    if (holds_addresses(*value)) {
      run.environment.emplace_back(name, *value);
    } else {
      run.refused.emplace_back(name);
    }
  }
  return run;
}

}  // namespace

Result<std::optional<HookRun>> read_hook(std::span<const char* const> words, const HookVariable& variable) {
  if (words.empty()) return std::nullopt;
  const std::string_view program = words.front();
  const std::string_view link = program.substr(program.rfind('/') + 1);
  if (link == kNetworkManagerLink) {
    const std::string_view interface = words.size() > 1 ? words[1] : "";
    const std::string_view event = words.size() > 2 ? words[2] : "";
    if (std::ranges::find(kNetworkManagerEvents, event) == kNetworkManagerEvents.end()) return HookRun{};
    if (!is_interface(interface)) return no_name("the name of an interface", interface);
    return reconfigure(interface, event, variable);
  }
  if (link == kIfupdownLink && program.starts_with(kIfupdownFolder)) {
    const std::string interface = variable("IFACE").value_or("lo");
    // Neither changes the network: the loopback, and what `ifup --all` runs once around all.
    if (interface == "lo" || interface == "--all") return HookRun{};
    if (!is_interface(interface)) return no_name("the name of an interface (IFACE)", interface);
    const std::string phase = variable("PHASE").value_or("post-up");
    if (std::ranges::find(kIfupdownPhases, phase) == kIfupdownPhases.end())
      return no_name("what happens (PHASE)", phase);
    return reconfigure(interface, phase, variable);
  }
  return std::nullopt;
}

void take_environment(const HookRun& run) {
  ::clearenv();
  for (const auto& [name, value] : run.environment) ::setenv(name.c_str(), value.c_str(), 1);
}

bool hooks_wait_for_apply() {
  return ::access("/run/tails-iptc/waits-for-apply", F_OK) == 0 && ::access("/run/tails-iptc/applied", F_OK) != 0;
}

}  // namespace tails::cli
