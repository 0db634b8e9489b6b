#include "cli/host_findings.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/guests.h"
#include "host/filter_audit.h"
#include "host/network_namespace.h"
#include "host/resolver_audit.h"
#include "host/rtnetlink.h"
#include "host/sysctl_audit.h"

namespace tails::cli {
namespace {

/// Namespaces that a killed run, or a policy from before, left.
host::Findings audit_guests(const policy::Policy& policy, bool& may_forward) {
  host::Findings findings;
  for (const policy::Namespace& space : policy.namespaces) {
    const auto state = host::state_of(guest_of(space));
    if (!state) continue;
    may_forward |= space.internet && *state != host::GuestState::kAbsent;
    if (*state != host::GuestState::kPartial) continue;
    findings.push_back({"namespace", space.name, "is half-made",
                        fmt::format("tails-iptc netns up {0}, or tails-iptc netns down {0}", space.name)});
  }
  auto netlink = host::Rtnetlink::open();
  for (const std::string& name : host::network_namespace::list()) {
    if (std::ranges::find(policy.namespaces, name, &policy::Namespace::name) != policy.namespaces.end()) continue;
    const auto interface = InterfaceName::make("veth-" + name);
    if (!netlink || !interface) continue;
    const auto link = netlink->find_link(*interface);
    // Others have namespaces too; ours are those with our pair.
    if (!link || !*link) continue;
    findings.push_back({"namespace", name, "is up, and the policy does not declare it (any more)",
                        fmt::format("tails-iptc netns down {}", name)});
  }
  return findings;
}

}  // namespace

host::Findings find_on_host(const policy::Policy& policy, const std::string& root) {
  host::Findings all;
  const auto add = [&](host::Findings some) { std::ranges::move(some, std::back_inserter(all)); };
  const host::MachineFiles files(root);
  host::SysctlWish wish{policy.host.sysctl, false};
  host::Findings guests = audit_guests(policy, wish.may_forward);
  add(host::audit_sysctls(wish));
  add(host::audit_sysctl_files(files, wish.wanted));
  if (policy.host.resolver) add(host::audit_resolver(files, *policy.host.resolver));
  add(host::audit_proxies(files));
  add(std::move(guests));
  add(host::audit_nf_tables());
  add(host::audit_filter_programs(files));
  add(host::audit_packet_programs());
  return all;
}

std::string on_host_text(const host::Findings& findings, const Screen& screen) {
  if (findings.empty()) return {};
  std::string text = fmt::format("\n{}\n", screen.paint(Ink::kWarning, "On this machine:"));
  for (const host::Finding& finding : findings) {
    text += screen.wrap(fmt::format("{} {}.", screen.paint(Ink::kStrong, finding.subject), finding.fact), 2) + "\n";
    text += screen.wrap(finding.remedy, 6) + "\n";
  }
  return text;
}

}  // namespace tails::cli
