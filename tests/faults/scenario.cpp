#include "tests/faults/scenario.h"

#include <sys/syscall.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cli/guests.h"
#include "host/network_namespace.h"
#include "iptc/record.h"
#include "tests/kernel/harness/flow_entry.h"
#include "tests/kernel/harness/network_namespace.h"
#include "tests/kernel/harness/program.h"
#include "tests/kernel/profile.h"

namespace tails::faults {
namespace {

using Words = Scenario::Words;

/// As an administrator types it.
Words told(Words words) {
  words.insert(words.begin(), {"--user-map", std::string(testbed::kAccounts)});
  return words;
}
Words told(const char* policy, Words words) {
  words.insert(words.begin(), {"--policy", policy});
  return told(std::move(words));
}

std::vector<policy::Namespace> two_guests() {
  std::vector<policy::Namespace> two;
  if (auto tails = testbed::profile("tails")) {
    for (const policy::Namespace& space : tails->namespaces) {
      if (space.name == "tbb" || space.name == "clearnet") two.push_back(space);
    }
  }
  return two;
}

Result<void> run_quietly(Words words) {
  auto done = testbed::run_checked({.arguments = std::move(words)});
  if (!done) return tl::unexpected(done.error());
  return {};
}

/// A rule that somebody added by hand: `reconfigure` has something to put right.
Result<void> add_foreign_rule() {
  return run_quietly({"iptables-legacy", "-w", "-I", "OUTPUT", "-d", "192.0.2.99", "-j", "ACCEPT"});
}

/// Nothing of [host] is as the policy wants it.
Result<void> spoil_host_settings() {
  for (const auto& [name, value] : {std::pair("net.ipv4.tcp_mtu_probing", "0"),
                                    {"net.ipv4.icmp_ratemask", "6168"},
                                    {"net.ipv4.conf.all.route_localnet", "1"},
                                    {"net.ipv6.conf.all.disable_ipv6", "0"},
                                    {"net.ipv6.conf.default.disable_ipv6", "0"}}) {
    if (auto set = testbed::set_sysctl(name, value); !set) return set;
  }
  std::ofstream("/etc/resolv.conf") << "nameserver 192.0.2.53\n";
  std::filesystem::create_directories("/etc/sysctl.d");
  return {};
}

Result<void> insert_some_flows() {
  constexpr Port kFirst{40000};
  constexpr Port kCount{6};
  for (Port port = kFirst; port < kFirst + kCount; ++port) {
    auto inserted = testbed::insert_flow(
        {.source = {IpAddress::v4(192, 0, 2, 10), port}, .destination = {IpAddress::v4(198, 51, 100, 7), Port{443}}});
    if (!inserted) return inserted;
  }
  return {};
}

/// The guests as `netns up` makes them, in this process.
Result<void> bring_guests_up() {
  const std::vector<policy::Namespace> two = two_guests();
  cli::GuestPolicy guests;
  guests.policy.name = "tails";
  guests.policy.source = kTwoGuests;
  guests.policy.namespaces = two;
  guests.is_in_force = true;
  const cli::LiveSystem system;
  guests.forwarding_note = "/run/tails-iptc/forwarding-" + std::to_string(system.get().kernel.namespace_id());
  std::vector<const policy::Namespace*> all;
  for (const policy::Namespace& space : two) all.push_back(&space);
  return cli::bring_up(all, guests);
}

bool starts_with_any(const std::string& name, const std::vector<std::string>& starts) {
  for (const std::string& start : starts) {
    if (name.starts_with(start)) return true;
  }
  return false;
}

/// Guests that were half-made or half-removed are the next run's to mend.
bool is_of_guests(const std::string& name) {
  return starts_with_any(name, {"namespace ", "interface ", "sysctl net.ipv4.ip_forward", "sysctl net.ipv4.conf.",
                                "sysctl net.ipv6.conf.veth-", "file /run/tails-iptc/forwarding-", "tbb ", "clearnet "});
}

Scenario apply_scenario(std::string name, std::vector<Words> before, Words command, size_t least) {
  Scenario scenario;
  scenario.name = std::move(name);
  scenario.before = std::move(before);
  scenario.command = std::move(command);
  scenario.least = least;
  return scenario;
}

std::vector<Scenario> transactions() {
  std::vector<Scenario> all;
  all.push_back(apply_scenario("ApplyBetweenProfiles", {told("tails", {"--wait", "0", "apply"})},
                               told("tails-classic", {"--wait", "0", "apply"}), 600));
  // A place that could not be opened for Landlock was passed over.
  all.back().kept = {{SYS_openat, EINTR}};
  all.push_back(apply_scenario("ApplyOnAnOpenMachine", {}, told("tails", {"--wait", "0", "apply"}), 600));
  all.push_back(
      apply_scenario("ApplyOrLockdownAtBoot", {}, told("tails", {"--wait", "0", "apply", "--or-lockdown"}), 600));
  all.back().blocks = all.back().must_block = true;
  // Neither a process that cannot be confined nor another run that does not end leaves the machine open.
  all.back().kept = {{SYS_seccomp, ENOMEM}, {SYS_flock, EWOULDBLOCK}};
  all.push_back(apply_scenario("ApplyConfirm", {told("tails", {"--wait", "0", "apply"})},
                               told("tails-i2p", {"--wait", "0", "apply", "--confirm", "600"}), 600));
  all.back().has_keeper = true;
  all.back().ignored = [](const std::string& name) { return name.starts_with("file /run/tails-iptc/confirm."); };
  all.back().mend = told("tails-i2p", {"apply"});
  all.back().kept = {{SYS_read, EISDIR}};  // A keeper whose number could not be read lived on.
  all.push_back(apply_scenario("Confirm", {told("tails", {"apply"}), told("tails-i2p", {"apply", "--confirm", "600"})},
                               {"--wait", "0", "confirm"}, 40));
  all.back().nothing_left = "nothing waits to be confirmed";
  all.push_back(apply_scenario("ApplyHost", {told("tails", {"apply"})},
                               told("tails-classic", {"--wait", "0", "apply", "--host", "--persist"}), 600));
  all.back().arrange = spoil_host_settings;
  // Between "all" and "lo" ::1 is away.
  all.back().may_differ = [](const std::string& name) { return name.starts_with("sysctl net.ipv6.conf."); };
  all.push_back(apply_scenario("Lockdown", {told("tails", {"apply"})}, {"--wait", "0", "lockdown"}, 300));
  all.back().blocks = all.back().must_block = true;
  all.push_back(apply_scenario("ResetOpen", {told("tails", {"apply"})}, {"--wait", "0", "reset", "--open"}, 300));
  return all;
}

std::vector<Scenario> hooks_and_flows() {
  std::vector<Scenario> all;
  all.push_back(apply_scenario("Reconfigure", {told(kPolicy, {"apply"})}, {"reconfigure", "--interface", "eth0"}, 600));
  all.back().arrange = add_foreign_rule;
  all.back().environment = {"IP4_NAMESERVERS=192.0.2.53 192.0.2.54"};
  all.push_back(apply_scenario("ReconfigureWhereNothingIsInForce", {}, told("tails", {"reconfigure"}), 600));
  all.back().blocks = true;
  all.back().kept = {{SYS_seccomp, ENOMEM, false, true}};
  // Another policy than the one that `apply` would take by itself, and none at all: both must stay.
  all.push_back(apply_scenario("ReconfigureOfAnotherPolicy", {told("tails-classic", {"apply"})}, {"reconfigure"}, 500));
  all.back().arrange = add_foreign_rule;
  all.push_back(
      apply_scenario("ReconfigureUnderLockdown", {told("tails", {"apply"}), {"lockdown"}}, {"reconfigure"}, 200));
  all.back().blocks = true;
  all.push_back(apply_scenario("FlushAll", {told("tails", {"apply"})}, {"conntrack", "flush"}, 20));
  all.back().each_time = insert_some_flows;
  all.back().may_differ = [](const std::string& name) { return name.starts_with("flow "); };
  all.push_back(all.back());
  all.back().name = "FlushRevoked";
  all.back().command = {"conntrack", "flush", "--revoked"};
  return all;
}

std::vector<Scenario> sessions_and_guests() {
  const Words add = {"session",   "add",     "service",  "--name",  "Seven", "--at",
                     "127.0.0.1", "--ports", "tcp/7777", "--allow", "htp"};
  std::vector<Scenario> all;
  all.push_back(apply_scenario("SessionAdd", {told(kPolicy, {"apply"})}, told(add), 600));
  all.back().command.insert(all.back().command.begin(), {"--wait", "0"});
  all.back().nothing_left = "two services are named \"Seven\"";
  all.back().kept = {{SYS_getsockopt, EPROTONOSUPPORT}};
  all.push_back(apply_scenario("SessionRemove", {told(kPolicy, {"apply"}), told(add)},
                               told({"--wait", "0", "session", "remove", "1"}), 500));
  all.back().nothing_left = "tails-iptc: this session has no exception \"1\"\n";
  all.back().kept = {{SYS_getsockopt, EPROTONOSUPPORT}};
  // An empty folder says what none says.
  all.back().ignored = [](const std::string& name) {
    return name.starts_with("file /run/tails-iptc/session-") && name.ends_with('/');
  };
  all.push_back(apply_scenario("NetnsUp", {told(kTwoGuests, {"apply"})}, told({"--wait", "0", "netns", "up"}), 600));
  all.back().may_differ = is_of_guests;
  // A mount that is there and reports a failure stayed; a kernel that seems to lack a revision gets older words.
  all.back().kept = {{SYS_mount, EINVAL, true}, {SYS_getsockopt, EPROTONOSUPPORT}};
  all.push_back(
      apply_scenario("NetnsDown", {told(kTwoGuests, {"apply"})}, told({"--wait", "0", "netns", "down"}), 300));
  all.back().each_time = bring_guests_up;
  all.back().may_differ = is_of_guests;
  return all;
}

}  // namespace

std::vector<Scenario> all_scenarios() {
  std::vector<Scenario> all = transactions();
  for (auto* const more : {hooks_and_flows, sessions_and_guests}) {
    for (Scenario& scenario : more()) all.push_back(std::move(scenario));
  }
  return all;
}

void take_guests_down() {
  for (const policy::Namespace& space : two_guests()) (void)host::take_down(cli::guest_of(space));
}

}  // namespace tails::faults
