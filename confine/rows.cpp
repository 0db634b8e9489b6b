#include "confine/rows.h"

#include <array>

namespace tails::confine {
namespace {

// What the record of the rules in force, a change that waits to be confirmed and the lock of all xtables programs are.
// /dev/null: what the process that waits for a confirmation has in place of a terminal.
constexpr std::array<std::string_view, 3> kRules = {"/run/tails-iptc", "/run/xtables.lock", "/dev/null"};
constexpr std::array<std::string_view, 6> kHost = {"/run/tails-iptc", "/run/xtables.lock", "/dev/null",
                                                   "/proc/sys",       "/etc/resolv.conf",  "/etc/sysctl.d"};

constexpr Calls kChange = Calls::kSockets | Calls::kFiles | Calls::kProcesses;
constexpr Capabilities kLookIntoGuests = kNetwork | capability(CAP_SYS_ADMIN);
constexpr Capabilities kLookIntoProcesses = capability(CAP_SYS_PTRACE) | capability(CAP_DAC_READ_SEARCH);
constexpr Capabilities kMachineOfNamespaces = kLookIntoGuests | capability(CAP_SETUID) | capability(CAP_SETGID) |
                                              capability(CAP_NET_BIND_SERVICE) | capability(CAP_KILL);

/// The commands that put rules into the kernel: all alike.
constexpr Row changing(std::string_view command) {
  return {.command = command,
          .keeps = kNetwork,
          .calls = kChange,
          .writes = Writes::kListed,
          .places = kRules,
          .loads_modules = true};
}
/// The commands that only ask.
constexpr Row asking(std::string_view command) {
  return {.command = command, .keeps = kNetwork, .calls = Calls::kSockets};
}
constexpr Row handing_over(std::string_view command, std::string_view why) {
  return {.command = command, .keeps = kEveryCapability, .hands_over = true, .why = why};
}

constexpr Row reconfigure() {
  Row row = changing("reconfigure");
  row.settles_late = true;
  row.why = "writes [host] clearnet_resolver_file too, once the policy has named it";
  return row;
}
constexpr Row apply_host(std::string_view command) {
  Row row = changing(command);
  row.keeps = kLookIntoGuests;
  row.calls = kChange | Calls::kNamespaces;
  row.places = kHost;
  row.why = "kernel parameters of the machine and, looking into its guests, whether it forwards";
  return row;
}
constexpr Row watch() {
  Row row = asking("watch");
  row.starts_with = capability(CAP_SYSLOG) | kLookIntoProcesses;
  row.starts_with_calls = Calls::kProcesses;
  row.settles_late = true;
  row.why = "starts the next one, opens /dev/kmsg, and gives the rest up before the first message";
  return row;
}
constexpr Row status() {
  return {.command = "status",
          .keeps = kLookIntoGuests,
          .calls = Calls::kSockets | Calls::kNamespaces | Calls::kBpf,
          .why = "lists eBPF programs, looks into guests"};
}
constexpr Row status_prometheus() {
  Row row = status();
  row.command = "status --prometheus";
  row.calls = row.calls | Calls::kFiles;
  row.writes = Writes::kListed;
  row.place_option = "--prometheus";
  return row;
}
constexpr Row guests(std::string_view command) {
  return {.command = command,
          .keeps = kLookIntoGuests,
          .calls = Calls::kMost,
          .writes = Writes::kAnywhere,
          .loads_modules = true,
          .why = "makes network namespaces and mounts them"};
}
constexpr Row trying(std::string_view command) {
  return {.command = command,
          .keeps = kMachineOfNamespaces,
          .calls = Calls::kMost,
          .writes = Writes::kAnywhere,
          .loads_modules = true,
          .why = "makes a machine of namespaces and becomes each account of the policy there"};
}

constexpr Row report() {
  Row row = trying("report");
  row.keeps |= capability(CAP_DAC_OVERRIDE);
  row.why = "as leaktest; writes the page wherever it is told to";
  return row;
}

constexpr std::array kRows{
    changing("apply"),
    apply_host("apply --host"),
    changing("confirm"),
    changing("lockdown"),
    changing("reset"),
    reconfigure(),
    status(),
    status_prometheus(),
    asking("show"),
    asking("explain"),
    asking("prove"),
    asking("diff"),
    asking("check"),
    asking("conntrack list"),
    asking("conntrack flush"),
    asking("conntrack watch"),
    changing("session add"),
    asking("session list"),
    changing("session remove"),
    guests("netns up"),
    guests("netns down"),
    Row{.command = "netns list",
        .keeps = kLookIntoGuests,
        .calls = Calls::kSockets | Calls::kNamespaces,
        .why = "looks into guests"},
    handing_over("netns exec", "becomes the program that it is told to run, as the user that it is told"),
    handing_over("bench", "becomes tails-iptc-fastpath"),
    handing_over("fastpath run", "becomes tails-iptc-fastpath"),
    handing_over("fastpath replay", "becomes tails-iptc-fastpath"),
    watch(),
    Row{.command = "watch, naming programs",
        .keeps = kLookIntoProcesses,
        .looks_into_processes = true,
        .why = "a process of its own without network, asked by watch whose socket sends from a port"},
    trying("leaktest"),
    report(),
    Row{.command = "completion"},
    Row{.command = "tails-iptc-fastpath run",
        .keeps = kEveryCapability,
        .calls = Calls::kMost,
        .writes = Writes::kAnywhere,
        .why = "drives network cards from user space, with huge pages; what DPDK needs depends on the card"},
    Row{.command = "tails-iptc-fastpath replay", .calls = Calls::kSockets, .why = "reads captures that others made"},
    Row{.command = "tails-iptc-fastpath bench",
        .keeps = kEveryCapability,
        .calls = Calls::kMost,
        .writes = Writes::kAnywhere,
        .why = "as run"},
};

}  // namespace

std::span<const Row> rows() { return kRows; }

}  // namespace tails::confine
