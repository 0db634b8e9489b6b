/// `status` about eBPF programs where packets pass: on machines prepared with each of them. The programs let everything
/// through. Programs of control groups are attached to one that this test makes and shows the program as the root: the
/// machine's own is left alone.

#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "net/errno_words.h"
#include "tests/kernel/host_status.h"

namespace tails::testbed {
namespace {

// Newer than Debian 12's headers (include/uapi/linux/bpf.h of Linux 6.6).
constexpr uint32_t kProgramNetfilter = 32;
constexpr uint32_t kAttachNetfilter = 45;
constexpr uint32_t kAttachTcxIngress = 46;

long bpf(int command, void* attributes, size_t size) { return syscall(SYS_bpf, command, attributes, size); }

/// A program that does nothing but return `answer`; closed with errno where the kernel does not take it.
Descriptor load(uint32_t type, uint32_t attach_type, int32_t answer) {
  const std::array<bpf_insn, 2> program = {
      {{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, answer}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}}};
  bpf_attr attributes{};
  attributes.prog_type = type;
  attributes.expected_attach_type = attach_type;
  attributes.insns = reinterpret_cast<uintptr_t>(program.data());
  attributes.insn_cnt = program.size();
  attributes.license = reinterpret_cast<uintptr_t>("GPL");
  return Descriptor(static_cast<int>(bpf(BPF_PROG_LOAD, &attributes, sizeof attributes)));
}

/// Attached as long as it is open. `target`: an interface's number or a descriptor, as the type wants it.
Descriptor attach(const Descriptor& program, uint32_t target, uint32_t attach_type) {
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program.get());
  attributes.link_create.target_fd = target;
  attributes.link_create.attach_type = attach_type;
  return Descriptor(static_cast<int>(bpf(BPF_LINK_CREATE, &attributes, sizeof attributes)));
}

class PacketPrograms : public HostStatus {
 protected:
  /// An older kernel has no such programs, and nothing is to be found then.
  static bool is_too_old() { return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP; }
  static std::string link_number(const Descriptor& link) {
    bpf_link_info info{};
    bpf_attr ask{};
    ask.info.bpf_fd = static_cast<uint32_t>(link.get());
    ask.info.info_len = sizeof info;
    ask.info.info = reinterpret_cast<uintptr_t>(&info);
    EXPECT_EQ(bpf(BPF_OBJ_GET_INFO_BY_FD, &ask, sizeof ask), 0);
    return std::to_string(info.id);
  }
  static void expect_link(const Descriptor& link, const std::string& kind) {
    const std::string number = link_number(link);
    expect_finding("eBPF link " + number + " is attached to packets (" + kind + ")",
                   "bpftool link show id " + number + " names it; end what made it");
  }
};

TEST_F(PacketPrograms, XdpProgramOnAnInterfaceIsNamedAndItsRemedyWorks) {
  const Descriptor program = load(BPF_PROG_TYPE_XDP, 0, XDP_PASS);
  ASSERT_TRUE(program.is_open()) << errno_words(errno);
  // Pinned, as `ip link` takes it; and so it stays without us.
  ASSERT_EQ(mkdir("/run/bpf", 0755), 0);
  ASSERT_EQ(mount("bpf", "/run/bpf", "bpf", 0, nullptr), 0) << errno_words(errno);
  bpf_attr pin{};
  pin.pathname = reinterpret_cast<uintptr_t>("/run/bpf/pass");
  pin.bpf_fd = static_cast<uint32_t>(program.get());
  ASSERT_EQ(bpf(BPF_OBJ_PIN, &pin, sizeof pin), 0) << errno_words(errno);
  for (const char* const mode : {"xdpgeneric", "xdpdrv"}) {
    SCOPED_TRACE(mode);
    TAILS_ASSERT_OK(run_checked({.arguments = {"ip", "link", "set", "dev", "eth0", mode, "pinned", "/run/bpf/pass"}}));
    const std::string remedy = std::string("ip link set dev eth0 ") + mode + " off";
    expect_finding("eth0 has an XDP program (eBPF), which sees packets before every table", remedy);
    TAILS_ASSERT_OK(run_checked({.arguments = {"sh", "-c", remedy}}));
    expect_clean();
  }
  umount2("/run/bpf", MNT_DETACH);
}

TEST_F(PacketPrograms, XdpProgramThatALinkHoldsIsNamed) {
  const Descriptor program = load(BPF_PROG_TYPE_XDP, 0, XDP_PASS);
  const Descriptor link = attach(program, if_nametoindex("eth0"), BPF_XDP);
  ASSERT_TRUE(link.is_open()) << errno_words(errno);
  expect_finding("eth0 has an XDP program (eBPF), which sees packets before every table",
                 "bpftool link detach id " + link_number(link) + ", and end what made it");
  EXPECT_NE(run({.arguments = {"ip", "link", "set", "dev", "eth0", "xdpdrv", "off"}})->status, 0) << "or so";
  // As bpftool does it.
  bpf_attr detach{};
  detach.link_detach.link_fd = static_cast<uint32_t>(link.get());
  ASSERT_EQ(bpf(BPF_LINK_DETACH, &detach, sizeof detach), 0) << errno_words(errno);
  expect_clean();
}

TEST_F(PacketPrograms, TrafficControlFiltersAreNamedByDirectionAndKindAndTheirRemedyWorks) {
  TAILS_ASSERT_OK(run_checked({.arguments = {"tc", "qdisc", "add", "dev", "eth0", "clsact"}}));
  expect_clean();
  const Descriptor program = load(BPF_PROG_TYPE_SCHED_CLS, 0, 0);
  ASSERT_TRUE(program.is_open()) << errno_words(errno);
  ASSERT_EQ(mkdir("/run/bpf", 0755), 0);
  ASSERT_EQ(mount("bpf", "/run/bpf", "bpf", 0, nullptr), 0) << errno_words(errno);
  bpf_attr pin{};
  pin.pathname = reinterpret_cast<uintptr_t>("/run/bpf/pass");
  pin.bpf_fd = static_cast<uint32_t>(program.get());
  ASSERT_EQ(bpf(BPF_OBJ_PIN, &pin, sizeof pin), 0) << errno_words(errno);
  const std::vector<std::pair<std::string, std::vector<std::string>>> kinds = {
      {"u32", {"u32", "match", "u32", "0", "0", "flowid", "1:1"}},
      {"bpf", {"bpf", "direct-action", "object-pinned", "/run/bpf/pass"}}};
  for (const char* const direction : {"ingress", "egress"}) {
    for (const auto& [kind, words] : kinds) {
      SCOPED_TRACE(direction + (" " + kind));
      std::vector<std::string> command = {"tc", "filter", "add", "dev", "eth0", direction};
      command.insert(command.end(), words.begin(), words.end());
      TAILS_ASSERT_OK(run_checked({.arguments = command}));
      const std::string remedy = std::string("tc filter del dev eth0 ") + direction;
      expect_finding("eth0 has a traffic control filter (" + kind + ") on " + direction +
                         ", which may drop, change or redirect packets past every table",
                     remedy);
      TAILS_ASSERT_OK(run_checked({.arguments = {"sh", "-c", remedy}}));
      expect_clean();
    }
  }
  umount2("/run/bpf", MNT_DETACH);
}

TEST_F(PacketPrograms, TcxProgramIsNamed) {
  const Descriptor program = load(BPF_PROG_TYPE_SCHED_CLS, kAttachTcxIngress, 0);
  const Descriptor link = attach(program, if_nametoindex("eth0"), kAttachTcxIngress);
  if (!link.is_open() && is_too_old()) return;
  ASSERT_TRUE(link.is_open()) << errno_words(errno);
  expect_link(link, "tcx");
}

TEST_F(PacketPrograms, NetfilterProgramIsNamed) {
  const Descriptor program = load(kProgramNetfilter, kAttachNetfilter, 1);  // NF_ACCEPT
  // struct { prog_fd, target_fd, attach_type, flags, { pf, hooknum, priority, flags } } of a newer union bpf_attr.
  std::array<uint32_t, 8> attributes = {static_cast<uint32_t>(program.get()), 0, kAttachNetfilter, 0, 2, 3, 7, 0};
  const Descriptor link(program.is_open() ? static_cast<int>(bpf(BPF_LINK_CREATE, attributes.data(), sizeof attributes))
                                          : -1);
  if (!link.is_open() && is_too_old()) return;
  ASSERT_TRUE(link.is_open()) << errno_words(errno);
  expect_link(link, "netfilter");
}

TEST_F(PacketPrograms, ProgramOfANetworkNamespaceIsNamed) {
  const Descriptor program = load(BPF_PROG_TYPE_SK_LOOKUP, BPF_SK_LOOKUP, 1);  // SK_PASS
  ASSERT_TRUE(program.is_open()) << errno_words(errno);
  const Descriptor link = attach(program, static_cast<uint32_t>(space_->fd()), BPF_SK_LOOKUP);
  ASSERT_TRUE(link.is_open()) << errno_words(errno);
  expect_link(link, "netns");
}

/// A control group of our own, in the place where the machine's root group is mounted.
class ControlGroup {
 public:
  ControlGroup() {
    for (const char* const place : {"/run/hierarchy"}) {
      if (mkdir(place, 0755) != 0 || mount("cgroup2", place, "cgroup2", 0, nullptr) != 0) return;
    }
    path_ = "/run/hierarchy/tails-iptc-test-" + std::to_string(getpid());
    if (mkdir(path_.c_str(), 0755) != 0 || mount(path_.c_str(), "/sys/fs/cgroup", nullptr, MS_BIND, nullptr) != 0)
      return;
    group_ = Descriptor(open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;
  ~ControlGroup() {
    umount2("/sys/fs/cgroup", MNT_DETACH);
    group_.close();
    rmdir(path_.c_str());
    umount2("/run/hierarchy", MNT_DETACH);
  }
  [[nodiscard]] bool is_open() const { return group_.is_open(); }
  [[nodiscard]] int get() const { return group_.get(); }

 private:
  std::string path_;
  Descriptor group_;
};

TEST_F(PacketPrograms, ProgramOfTheRootControlGroupIsNamedByItsHook) {
  const ControlGroup group;
  ASSERT_TRUE(group.is_open()) << errno_words(errno);
  expect_clean();
  struct Hook {
    uint32_t program;
    uint32_t attach;
    std::string name;
  };
  const std::vector<Hook> hooks = {
      {BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS, "ingress"},
      {BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS, "egress"},
      {BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE, "sock_create"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_BIND, "bind4"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_BIND, "bind6"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT, "connect4"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT, "connect6"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP4_SENDMSG, "sendmsg4"},
      {BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_UDP6_SENDMSG, "sendmsg6"},
  };
  for (const bool by_link : {false, true}) {
    for (const Hook& hook : hooks) {
      if (by_link && hook.name != "connect4") continue;
      SCOPED_TRACE(hook.name + (by_link ? " by link" : ""));
      const Descriptor program = load(hook.program, hook.attach, 1);
      ASSERT_TRUE(program.is_open()) << errno_words(errno);
      bpf_attr attributes{};
      attributes.target_fd = static_cast<uint32_t>(group.get());
      attributes.attach_bpf_fd = static_cast<uint32_t>(program.get());
      attributes.attach_type = hook.attach;
      Descriptor link;
      if (by_link) {
        link = attach(program, static_cast<uint32_t>(group.get()), hook.attach);
        ASSERT_TRUE(link.is_open()) << errno_words(errno);
      } else {
        ASSERT_EQ(bpf(BPF_PROG_ATTACH, &attributes, sizeof attributes), 0) << errno_words(errno);
      }
      expect_finding("control group /sys/fs/cgroup has an eBPF program on " + hook.name + ", for every process",
                     "bpftool cgroup show /sys/fs/cgroup names it; end what attached it");
      if (!by_link) {
        ASSERT_EQ(bpf(BPF_PROG_DETACH, &attributes, sizeof attributes), 0) << errno_words(errno);
      }
      link.close();
      expect_clean();
    }
  }
}

}  // namespace
}  // namespace tails::testbed
