// The running kernel: tables and revisions are asked by getsockopt, replaced through libiptc.
#include <libiptc/libiptc.h>
// libiptc first: its header brings its own copy of what the next one builds on.
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "iptc/kernel/image.h"
#include "iptc/kernel/kernel.h"
#include "iptc/kernel/libiptc.h"
#include "iptc/kernel/module.h"
#include "iptc/kernel/thread_proc.h"
#include "iptc/kernel/words.h"
#include "net/errno_words.h"

namespace tails::iptc::kernel {
namespace {

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

constexpr int level_of(Family family) { return family == Family::kIpv4 ? IPPROTO_IP : IPPROTO_IPV6; }

// Both families use the same layout and the same numbers here, but for the revisions' numbers.
static_assert(sizeof(ipt_getinfo) == sizeof(ip6t_getinfo) &&
              offsetof(ipt_getinfo, size) == offsetof(ip6t_getinfo, size));
// NOLINTNEXTLINE(misc-redundant-expression): of two headers
static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES);
static_assert(offsetof(ipt_get_entries, size) == offsetof(ip6t_get_entries, size));

/// How often a table is asked for while its size changes: who never pauses spoils many tries, but not all of a hundred.
constexpr int kReadAttempts = 100;

class RunningKernel final : public Kernel {
 public:
  Result<bool> has_ipv6() override;
  Result<std::vector<std::string>> tables(Family family) override;
  Result<RawTable> read(Family family, std::string_view table) override;
  Result<bool> offers(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) override;
  Result<void> replace(const RawTable& wanted, const RawTable& expected) override;
  void reopen() override;
  uint64_t namespace_id() override;

 private:
  /// A socket of the family, made once; -errno where there is none. Any kind carries the options and a datagram one
  /// needs no privilege to make.
  int socket_of(Family family);
  /// getsockopt, and again after loading the family's module where xtables is missing. -errno on failure.
  int ask(Family family, int option, void* value, socklen_t size);
  /// Info of a table, its module loaded where it is missing. -errno on failure.
  int ask_info(Family family, std::string_view table, ipt_getinfo& info);

  std::array<std::optional<Socket>, 2> sockets_;
  std::array<bool, 2> module_tried_{};
};

constexpr size_t index_of(Family family) { return family == Family::kIpv4 ? 0 : 1; }

int RunningKernel::socket_of(Family family) {
  auto& socket = sockets_[index_of(family)];
  if (!socket) {
    const int descriptor = ::socket(family == Family::kIpv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    socket.emplace(descriptor);
  }
  return socket->get();
}

int RunningKernel::ask(Family family, int option, void* value, socklen_t size) {
  const int descriptor = socket_of(family);
  if (descriptor < 0) return descriptor;
  while (true) {
    socklen_t length = size;
    if (getsockopt(descriptor, level_of(family), option, value, &length) >= 0) return 0;
    const int problem = errno;
    if (problem != ENOPROTOOPT || std::exchange(module_tried_[index_of(family)], true)) return -problem;
    if (!load_module(family_module(family))) return -problem;
  }
}

int RunningKernel::ask_info(Family family, std::string_view table, ipt_getinfo& info) {
  if (table.size() >= sizeof info.name) return -ENOENT;
  for (bool loaded = false;; loaded = true) {
    info = {};
    std::memcpy(info.name, table.data(), table.size());
    const int result = ask(family, IPT_SO_GET_INFO, &info, sizeof info);
    // The kernel asks for the module by itself; where that is switched off, we do.
    if (result != -ENOENT || loaded || !load_module(table_module(family, table))) return result;
  }
}

Result<bool> RunningKernel::has_ipv6() {
  // A socket loads the protocol where it is a module that is not there yet; the file only says what is loaded.
  const int descriptor = socket_of(Family::kIpv6);
  if (descriptor >= 0) return true;
  if (descriptor != -EAFNOSUPPORT) {
    return tl::unexpected(
        Error{ErrorKind::kRefused, "cannot make an IPv6 socket: " + errno_words(-descriptor), {}, -descriptor});
  }
  if (access("/proc/net/if_inet6", F_OK) == 0) {
    return fail(ErrorKind::kRefused, "cannot make an IPv6 socket, though this kernel has IPv6 (EAFNOSUPPORT)",
                "A sandbox forbids it: under systemd, RestrictAddressFamilies= must allow AF_INET and AF_INET6.",
                EAFNOSUPPORT);
  }
  return false;
}

Result<std::vector<std::string>> RunningKernel::tables(Family family) {
  const std::string path = thread_proc() + (family == Family::kIpv4 ? "/net/ip_tables_names" : "/net/ip6_tables_names");
  std::vector<std::string> names;
  errno = 0;
  std::ifstream file(path);
  if (!file) {
    const int problem = errno;
    if (problem == ENOENT) return names;
    return fail(ErrorKind::kRefused, "cannot read " + path + ": " + errno_words(problem),
                problem == EACCES ? "Run as root." : "", problem);
  }
  for (std::string name; std::getline(file, name);) names.push_back(name);
  // A list that ends early would make tables invisible.
  if (file.bad()) {
    const int problem = errno != 0 ? errno : EIO;
    return fail(ErrorKind::kRefused, "cannot read " + path + ": " + errno_words(problem), {}, problem);
  }
  return names;
}

Result<RawTable> RunningKernel::read(Family family, std::string_view table) {
  // The size may change between the two questions: EAGAIN then, and new tries, which are quicker for the memory they
  // need not take anew.
  int result = 0;
  std::vector<std::byte> answer;
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    ipt_getinfo info{};
    result = ask_info(family, table, info);
    if (result < 0) break;
    answer.resize(offsetof(ipt_get_entries, entrytable) + info.size);
    auto* const head = reinterpret_cast<ipt_get_entries*>(answer.data());
    std::memcpy(head->name, info.name, sizeof head->name);
    head->size = info.size;
    result = ask(family, IPT_SO_GET_ENTRIES, answer.data(), static_cast<socklen_t>(answer.size()));
    if (result == -EAGAIN) continue;
    if (result < 0) break;
    Image image;
    image.family = family;
    image.table = std::string(table);
    image.valid_hooks = info.valid_hooks;
    std::copy(std::begin(info.hook_entry), std::end(info.hook_entry), image.hook_entry.begin());
    std::copy(std::begin(info.underflow), std::end(info.underflow), image.underflow.begin());
    image.entries = std::move(answer);
    image.begin = offsetof(ipt_get_entries, entrytable);
    return from_image(std::move(image));
  }
  return tl::unexpected(read_error(family, table, -result));
}

Result<bool> RunningKernel::offers(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) {
  xt_get_revision question{};
  if (name.size() >= sizeof question.name) return false;
  std::memcpy(question.name, name.data(), name.size());
  question.revision = revision;
  const bool is_match = kind == ExtensionKind::kMatch;
  const int option = family == Family::kIpv4 ? (is_match ? IPT_SO_GET_REVISION_MATCH : IPT_SO_GET_REVISION_TARGET)
                                             : (is_match ? IP6T_SO_GET_REVISION_MATCH : IP6T_SO_GET_REVISION_TARGET);
  const int result = ask(family, option, &question, sizeof question);
  if (result >= 0) return true;
  if (result == -EPROTONOSUPPORT || result == -ENOENT) return false;
  return tl::unexpected(probe_error(family, name, -result));
}

Result<void> RunningKernel::replace(const RawTable& wanted, const RawTable& expected) {
  std::optional<Error> read_problem;
  const int result = commit_by_libiptc(wanted, [&] {
    // As late as possible: the kernel itself compares no more than the number of entries.
    const auto live = read(wanted.family, wanted.name);
    if (!live) {
      read_problem = live.error();
      return live.error().system_errno;
    }
    return same_rules(*live, expected) ? 0 : EAGAIN;
  });
  if (read_problem) return tl::unexpected(*std::move(read_problem));
  if (result != 0) return tl::unexpected(replace_error(wanted.family, wanted.name, result));
  return {};
}

void RunningKernel::reopen() {
  for (auto& socket : sockets_) socket.reset();
}

uint64_t RunningKernel::namespace_id() {
  struct stat status {};
  return stat((thread_proc() + "/ns/net").c_str(), &status) == 0 ? status.st_ino : 0;
}

}  // namespace

std::unique_ptr<Kernel> running_kernel() { return std::make_unique<RunningKernel>(); }

}  // namespace tails::iptc::kernel
