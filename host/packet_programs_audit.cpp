#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "host/filter_audit.h"
#include "host/link_messages.h"
#include "host/netlink_dump.h"
#include "net/descriptor.h"
#include "net/errno_words.h"

namespace tails::host {
namespace {

constexpr const char* kFilterTopic = "filter";

/// enum bpf_link_type, by its numbers in linux/bpf.h: older headers lack some of the names.
constexpr uint32_t kXdpLink = 6;
constexpr std::array<std::pair<uint32_t, const char*>, 3> kPacketLinks = {
    {{5, "netns"}, {10, "netfilter"}, {11, "tcx"}}};

/// `ip link` takes a program off only in the mode in which it is on.
std::string xdp_remedy(const std::string& name, uint8_t mode) {
  const std::string start = "ip link set dev " + name + " ";
  switch (mode) {
    case XDP_ATTACHED_SKB: return start + "xdpgeneric off";
    case XDP_ATTACHED_HW: return start + "xdpoffload off";
    case XDP_ATTACHED_MULTI: return start + "xdpdrv off; " + start + "xdpgeneric off";
    default: return start + "xdpdrv off";
  }
}

long bpf(int command, bpf_attr& attributes) { return syscall(SYS_bpf, command, &attributes, sizeof attributes); }

/// A kernel without eBPF, without control groups, or older than the question.
bool is_unknown_here(int number) { return number == ENOSYS || number == EINVAL || number == EBADF; }

Finding refused(std::string subject, int number) {
  const bool is_permission = number == EPERM || number == EACCES;
  return unexamined(kFilterTopic, std::move(subject),
                    {ErrorKind::kRefused, "bpf(2): " + errno_words(number),
                     is_permission ? "Run it as root, with CAP_SYS_ADMIN and CAP_NET_ADMIN." : "", number});
}

/// A program that hangs on a link is not taken off otherwise than by the link.
struct ProgramLink {
  uint32_t id = 0;
  uint32_t type = 0;  ///< enum bpf_link_type
  uint32_t program = 0;
};

std::vector<ProgramLink> list_links(Findings& findings) {
  std::vector<ProgramLink> links;
  for (uint32_t id = 0;;) {
    bpf_attr next{};
    next.start_id = id;
    if (bpf(BPF_LINK_GET_NEXT_ID, next) != 0) {
      if (errno != ENOENT && !is_unknown_here(errno)) findings.push_back(refused("eBPF links", errno));
      return links;
    }
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
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, ask) == 0) links.push_back({id, info.type, info.prog_id});
  }
}

/// Programs on interfaces: XDP, and filters of the clsact and ingress disciplines.
void audit_interfaces(const std::vector<ProgramLink>& links, Findings& findings) {
  std::map<int, std::string> names;
  std::map<int, XdpState> with_xdp;
  const ifinfomsg all{};
  const auto listed =
      netlink_dump(NETLINK_ROUTE, RTM_GETLINK, std::as_bytes(std::span(&all, 1)), [&](const nlmsghdr& message) {
        const auto state = read_xdp_state(message);
        if (!state) return;
        names[state->index] = state->name;
        if (state->mode != XDP_ATTACHED_NONE) with_xdp.emplace(state->index, *state);
      });
  if (!listed) findings.push_back(unexamined(kFilterTopic, "eBPF on interfaces", listed.error()));
  for (const auto& [index, name] : names) {
    if (const auto xdp = with_xdp.find(index); xdp != with_xdp.end()) {
      const auto link = std::ranges::find_if(links, [&](const ProgramLink& candidate) {
        return candidate.type == kXdpLink && candidate.program == xdp->second.program;
      });
      findings.push_back({kFilterTopic, name, "has an XDP program (eBPF), which sees packets before every table",
                          link == links.end()
                              ? xdp_remedy(name, xdp->second.mode)
                              : "bpftool link detach id " + std::to_string(link->id) + ", and end what made it"});
    }
    for (const auto& [parent, direction] : std::array<std::pair<uint32_t, const char*>, 2>{
             {{TC_H_MIN_INGRESS, "ingress"}, {TC_H_MIN_EGRESS, "egress"}}}) {
      tcmsg request{};
      request.tcm_ifindex = index;
      request.tcm_parent = TC_H_MAKE(TC_H_CLSACT, parent);
      std::set<std::string> kinds;
      const auto asked = netlink_dump(NETLINK_ROUTE, RTM_GETTFILTER, std::as_bytes(std::span(&request, 1)),
                                      [&](const nlmsghdr& message) {
                                        if (const auto kind = read_filter_kind(message)) kinds.emplace(*kind);
                                      });
      // Gone meanwhile, or a kernel without such filters.
      if (!asked && asked.error().system_errno != ENODEV && asked.error().system_errno != EOPNOTSUPP) {
        findings.push_back(unexamined(kFilterTopic, "traffic control of " + name, asked.error()));
      }
      for (const std::string& kind : kinds) {
        findings.push_back({kFilterTopic, name,
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
      if (bpf(BPF_PROG_QUERY, query) != 0) {
        if (!is_unknown_here(errno)) findings.push_back(refused(std::string("control group ") + path, errno));
        if (!is_unknown_here(errno)) break;
        continue;
      }
      if (query.query.prog_cnt == 0) continue;
      findings.push_back({kFilterTopic, std::string("control group ") + path,
                          std::string("has an eBPF program on ") + name + ", for every process",
                          std::string("bpftool cgroup show ") + path + " names it; end what attached it"});
    }
  }
}

void audit_links(const std::vector<ProgramLink>& links, Findings& findings) {
  for (const ProgramLink& link : links) {
    for (const auto& [type, name] : kPacketLinks) {
      if (link.type != type) continue;
      findings.push_back({kFilterTopic, "eBPF link " + std::to_string(link.id),
                          std::string("is attached to packets (") + name + ")",
                          "bpftool link show id " + std::to_string(link.id) + " names it; end what made it"});
    }
  }
}

}  // namespace

Findings audit_packet_programs() {
  Findings findings;
  const std::vector<ProgramLink> links = list_links(findings);
  audit_interfaces(links, findings);
  audit_control_group(findings);
  audit_links(links, findings);
  return findings;
}

}  // namespace tails::host
