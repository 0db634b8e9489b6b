// Compiles the filter of every row by libseccomp, when this program is built: tails-iptc then puts one into force with
// one system call. Compiling it at each start took a ninth of the time of `apply` of the default profile.
//
//   compile_filters FILE      writes C++ source: the function compiled_filter (compiled_filter.h)
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "confine/calls.h"
#include "confine/rows.h"

namespace tails::confine {
namespace {

/// Interfaces by name and number, their flags; a terminal's size. Not TIOCSTI, which types for the user.
constexpr std::array<unsigned long, 8> kIoctls = {TCGETS,      TIOCGWINSZ,   FIONREAD,   SIOCGIFINDEX,
                                                  SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR};
constexpr std::array<int, 3> kNetlinkFamilies = {NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_NETFILTER};
// O_TMPFILE without the bits of O_DIRECTORY, which whoever lists a folder has.
constexpr scmp_datum_t kOpenForMore = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
constexpr scmp_datum_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

#ifdef TAILS_SANITIZED
/// LeakSanitizer stops the process by ptrace, from a thread of its own, when it ends.
constexpr auto kSanitizers = std::to_array<std::string_view>(
    {"ptrace", "clone", "wait4", "kill", "tkill", "prctl", "mmap", "mprotect", "process_vm_readv", "prlimit64"});
#endif

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

/// A filter in the making; remembers the first failure.
class Filter {
 public:
  explicit Filter(uint32_t otherwise) : filter_(seccomp_init(otherwise)) {
    if (filter_ == nullptr) {
      problem_ = ENOMEM;
      return;
    }
    note(seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, kBinaryTree));
  }

  void add(uint32_t action, std::span<const std::string_view> names) {
    for (const std::string_view name : names) add(action, name, {});
  }
  /// Where all of `conditions` hold.
  void add(uint32_t action, std::string_view name, std::span<const scmp_arg_cmp> conditions) {
    if (problem_ != 0) return;
    const int number = seccomp_syscall_resolve_name(std::string(name).c_str());
    if (number < 0) return;  // __NR_SCMP_ERROR, or a call of other architectures
    note(seccomp_rule_add_array(filter_.get(), action, number, static_cast<unsigned>(conditions.size()),
                                conditions.data()));
  }
  void add(uint32_t action, std::string_view name, std::initializer_list<scmp_arg_cmp> conditions) {
    add(action, name, std::span(conditions.begin(), conditions.size()));
  }

  /// The kernel's instructions. On failure empty, and `problem` says why.
  std::vector<sock_filter> instructions() {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::tmpfile(), std::fclose);
    if (problem_ == 0 && file == nullptr) problem_ = errno;
    if (problem_ == 0) note(seccomp_export_bpf(filter_.get(), fileno(file.get())));
    if (problem_ != 0) return {};
    std::vector<sock_filter> all(BPF_MAXINSNS);
    std::rewind(file.get());
    all.resize(std::fread(all.data(), sizeof(sock_filter), all.size(), file.get()));
    return all;
  }
  [[nodiscard]] int problem() const { return problem_; }

 private:
  static constexpr uint32_t kBinaryTree = 2;
  void note(int result) {
    if (result < 0 && problem_ == 0) problem_ = -result;
  }
  std::unique_ptr<void, Release> filter_;
  int problem_ = 0;
};

scmp_arg_cmp no_bit_of(unsigned argument, scmp_datum_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, 0}; }
scmp_arg_cmp is(unsigned argument, scmp_datum_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }

void allow_by_argument(Filter& filter, Calls calls) {
  constexpr uint32_t kAllow = SCMP_ACT_ALLOW;
  if (!has(calls, Calls::kFiles)) {
    filter.add(kAllow, "open", {no_bit_of(1, kOpenForMore)});
    filter.add(kAllow, "openat", {no_bit_of(2, kOpenForMore)});
  }
  for (const char* map : {"mmap", "mmap2"}) {
    filter.add(kAllow, map, {no_bit_of(2, PROT_EXEC)});
    filter.add(kAllow, map, {no_bit_of(2, PROT_WRITE)});
  }
  filter.add(kAllow, "mprotect", {no_bit_of(2, PROT_EXEC)});
  for (const unsigned long request : kIoctls) filter.add(kAllow, "ioctl", {is(1, request)});
  for (const int option : {PR_SET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_READ,
                           PR_CAPBSET_DROP, PR_CAP_AMBIENT}) {
    filter.add(kAllow, "prctl", {is(0, static_cast<scmp_datum_t>(option))});
  }
  filter.add(kAllow, "prlimit64", {is(2, 0)});
  if (has(calls, Calls::kSockets)) {
    // Netlink's addresses are shorter than any with which one could reach somebody.
    filter.add(kAllow, "connect", {is(2, sizeof(sockaddr_nl))});
    filter.add(kAllow, "socket", {is(0, AF_INET)});
    filter.add(kAllow, "socket", {is(0, AF_INET6)});
    for (const int family : kNetlinkFamilies) {
      filter.add(kAllow, "socket", {is(0, AF_NETLINK), is(2, static_cast<scmp_datum_t>(family))});
    }
  }
  if (has(calls, Calls::kProcesses)) filter.add(kAllow, "clone", {no_bit_of(0, kNewNamespaces)});
  // Its arguments lie in memory, where a filter cannot look; glibc then takes the older call.
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3", {});
}

Filter compile(Calls calls) {
  if (has(calls, Calls::kMost)) {
    Filter filter(SCMP_ACT_ALLOW);
    for (const std::string_view name : never()) {
#ifdef TAILS_SANITIZED
      if (std::ranges::find(kSanitizers, name) != kSanitizers.end()) continue;
#endif
      filter.add(SCMP_ACT_ERRNO(EPERM), name, {});
    }
    return filter;
  }
  Filter filter(SCMP_ACT_ERRNO(EPERM));
  filter.add(SCMP_ACT_ALLOW, call_names(Calls::kReadOnly));
  for (const Calls group : {Calls::kSockets, Calls::kFiles, Calls::kProcesses, Calls::kNamespaces, Calls::kBpf}) {
    if (has(calls, group)) filter.add(SCMP_ACT_ALLOW, call_names(group));
  }
#ifdef TAILS_SANITIZED
  filter.add(SCMP_ACT_ALLOW, kSanitizers);
#endif
  allow_by_argument(filter, calls);
  return filter;
}

std::set<Calls> needed() {
  std::set<Calls> sets;
  for (const Row& row : rows()) {
    if (!row.hands_over) sets.insert({row.calls, row.calls | row.starts_with_calls});
  }
  return sets;
}

/// 0, or an errno.
int write_source(std::ostream& out) {
  out << "// Written by compile_filters.cpp.\n#include \"confine/compiled_filter.h\"\n\n#include <array>\n\n"
         "namespace tails::confine {\nnamespace {\n\n";
  std::string cases;
  for (const Calls calls : needed()) {
    Filter filter = compile(calls);
    const std::vector<sock_filter> instructions = filter.instructions();
    if (filter.problem() != 0) return filter.problem();
    const std::string name = "k" + std::to_string(static_cast<unsigned>(calls));
    out << "constexpr std::array<sock_filter, " << instructions.size() << "> " << name << "{{\n";
    for (const sock_filter& i : instructions) {
      out << "    {" << i.code << ", " << unsigned{i.jt} << ", " << unsigned{i.jf} << ", " << i.k << "U},\n";
    }
    out << "}};\n\n";
    cases += "    case " + name.substr(1) + ": return " + name + ";\n";
  }
  out << "}  // namespace\n\nstd::span<const sock_filter> compiled_filter(Calls calls) {\n"
         "  switch (static_cast<unsigned>(calls)) {\n"
      << cases << "    default: return {};\n  }\n}\n\n}  // namespace tails::confine\n";
  return out.flush() ? 0 : EIO;
}

}  // namespace
}  // namespace tails::confine

int main(int count, char** words) {
  if (count != 2) {
    std::fputs("compile_filters: say the file to write\n", stderr);
    return 1;
  }
  std::ofstream out(words[1]);
  const int problem = out ? tails::confine::write_source(out) : errno;
  if (problem == 0) return 0;
  std::fprintf(stderr, "compile_filters: %s: %s\n", words[1], std::strerror(problem));
  return 1;
}
