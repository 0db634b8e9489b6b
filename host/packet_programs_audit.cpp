#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "host/filter_audit.h"
#include "host/link_messages.h"
#include "host/netlink_dump.h"
#include "host/network_namespace.h"

namespace tails::host {
namespace {

constexpr const char* kTopic = "filter";

long bpf(int command, bpf_attr& attributes) { return syscall(SYS_bpf, command, &attributes, sizeof attributes); }

/// Programs on interfaces: XDP, and filters of the clsact and ingress disciplines.
void audit_interfaces(Findings& findings) {
  std::map<int, std::string> names;
  std::set<int> with_xdp;
  const ifinfomsg all{};
  (void)netlink_dump(NETLINK_ROUTE, RTM_GETLINK, std::as_bytes(std::span(&all, 1)), [&](const nlmsghdr& message) {
    const auto link = read_xdp_state(message);
    if (!link) return;
    names[link->index] = link->name;
    if (link->is_attached) with_xdp.insert(link->index);
  });
  for (const auto& [index, name] : names) {
    if (with_xdp.contains(index)) {
      findings.push_back({kTopic, name, "has an XDP program (eBPF), which sees packets before every table",
                          "ip link set dev " + name + " xdp off"});
    }
    for (const auto& [parent, direction] : std::array<std::pair<uint32_t, const char*>, 2>{
             {{TC_H_MIN_INGRESS, "ingress"}, {TC_H_MIN_EGRESS, "egress"}}}) {
      tcmsg request{};
      request.tcm_ifindex = index;
      request.tcm_parent = TC_H_MAKE(TC_H_CLSACT, parent);
      std::set<std::string> kinds;
      (void)netlink_dump(NETLINK_ROUTE, RTM_GETTFILTER, std::as_bytes(std::span(&request, 1)),
                         [&](const nlmsghdr& message) {
                           if (const auto kind = read_filter_kind(message)) kinds.emplace(*kind);
                         });
      for (const std::string& kind : kinds) {
        findings.push_back({kTopic, name,
                            "has a traffic control filter (" + kind + ") on " + direction +
                                ", which may drop, change or redirect packets past every table",
                            "tc filter del dev " + name + " " + direction});
      }
    }
  }
}

/// Programs of the root control group run for every process.
void audit_control_group(Findings& findings) {
  constexpr std::array<std::pair<uint32_t, const char*>, 9> kHooks = {{{BPF_CGROUP_INET_INGRESS, "ingress"},
                                                                       {BPF_CGROUP_INET_EGRESS, "egress"},
                                                                       {BPF_CGROUP_INET_SOCK_CREATE, "sock_create"},
                                                                       {BPF_CGROUP_INET4_BIND, "bind4"},
                                                                       {BPF_CGROUP_INET6_BIND, "bind6"},
                                                                       {BPF_CGROUP_INET4_CONNECT, "connect4"},
                                                                       {BPF_CGROUP_INET6_CONNECT, "connect6"},
                                                                       {BPF_CGROUP_UDP4_SENDMSG, "sendmsg4"},
                                                                       {BPF_CGROUP_UDP6_SENDMSG, "sendmsg6"}}};
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    const Descriptor group(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!group.is_open()) continue;
    for (const auto& [hook, name] : kHooks) {
      bpf_attr query{};
      query.query.target_fd = static_cast<uint32_t>(group.get());
      query.query.attach_type = hook;
      // No room for numbers: the count alone is asked for.
      if (bpf(BPF_PROG_QUERY, query) != 0 || query.query.prog_cnt == 0) continue;
      findings.push_back({kTopic, std::string("control group ") + path,
                          std::string("has an eBPF program on ") + name + ", for every process",
                          std::string("bpftool cgroup show ") + path + " names it; end what attached it"});
    }
  }
}

/// Newer ways to attach, by their numbers in linux/bpf.h: older headers lack the names.
void audit_links(Findings& findings) {
  constexpr std::array<std::pair<uint32_t, const char*>, 3> kTypes = {{{5, "netns"}, {10, "netfilter"}, {11, "tcx"}}};
  for (uint32_t id = 0;;) {
    bpf_attr next{};
    next.start_id = id;
    if (bpf(BPF_LINK_GET_NEXT_ID, next) != 0) return;
    id = next.next_id;
    bpf_attr open{};
    open.link_id = id;
    const Descriptor link(static_cast<int>(bpf(BPF_LINK_GET_FD_BY_ID, open)));
    if (!link.is_open()) continue;
    bpf_link_info info{};
    bpf_attr ask{};
    ask.info.bpf_fd = static_cast<uint32_t>(link.get());
    ask.info.info_len = sizeof info;
    ask.info.info = reinterpret_cast<uintptr_t>(&info);
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, ask) != 0) continue;
    for (const auto& [type, name] : kTypes) {
      if (info.type != type) continue;
      findings.push_back({kTopic, "eBPF link " + std::to_string(id),
                          std::string("is attached to packets (") + name + ")",
                          "bpftool link show id " + std::to_string(id) + " names it; end what made it"});
    }
  }
}

}  // namespace

Findings audit_packet_programs() {
  Findings findings;
  audit_interfaces(findings);
  audit_control_group(findings);
  audit_links(findings);
  return findings;
}

}  // namespace tails::host
