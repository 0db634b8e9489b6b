#include "iptc/kernel/libiptc.h"

extern "C" {
#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
}

#include <cerrno>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "iptc/kernel/entry.h"
#include "net/heap.h"

namespace tails::iptc::kernel {
namespace {

/// The calls of libiptc that exist once for each family.
struct Calls {
  xtc_handle* (*init)(const char*);
  void (*free)(xtc_handle*);
  const char* (*first_chain)(xtc_handle*);
  const char* (*next_chain)(xtc_handle*);
  int (*builtin)(const char*, xtc_handle*);
  int (*flush)(const char*, xtc_handle*);
  int (*remove)(const char*, xtc_handle*);
  int (*create)(const char*, xtc_handle*);
  int (*set_policy)(const char*, const char*, xt_counters*, xtc_handle*);
  int (*append)(const char*, const std::byte*, xtc_handle*);
  int (*commit)(xtc_handle*);
};

constexpr Calls kCallsV4 = {iptc_init,
                            iptc_free,
                            iptc_first_chain,
                            iptc_next_chain,
                            iptc_builtin,
                            iptc_flush_entries,
                            iptc_delete_chain,
                            iptc_create_chain,
                            iptc_set_policy,
                            [](const char* chain, const std::byte* entry, xtc_handle* handle) {
                              return iptc_append_entry(chain, reinterpret_cast<const ipt_entry*>(entry), handle);
                            },
                            iptc_commit};
constexpr Calls kCallsV6 = {ip6tc_init,
                            ip6tc_free,
                            ip6tc_first_chain,
                            ip6tc_next_chain,
                            ip6tc_builtin,
                            ip6tc_flush_entries,
                            ip6tc_delete_chain,
                            ip6tc_create_chain,
                            ip6tc_set_policy,
                            [](const char* chain, const std::byte* entry, xtc_handle* handle) {
                              return ip6tc_append_entry(chain, reinterpret_cast<const ip6t_entry*>(entry), handle);
                            },
                            ip6tc_commit};

const Calls& calls_of(Family family) { return family == Family::kIpv4 ? kCallsV4 : kCallsV6; }

/// One handle; freed with errno kept. Single-use: after a commit it must go.
class Handle {
 public:
  Handle(const Calls& calls, const char* table) : calls_(calls), handle_(calls.init(table)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    const int kept = errno;
    if (handle_ != nullptr) calls_.free(handle_);
    errno = kept;
  }
  [[nodiscard]] xtc_handle* get() const { return handle_; }
  explicit operator bool() const { return handle_ != nullptr; }

 private:
  const Calls& calls_;
  xtc_handle* handle_;
};

/// Empties every chain and removes all but the built-in ones. From the last one on: libiptc's index of chains is
/// rebuilt each time a bucket loses its first chain, but not when it loses its last.
bool clear(const Calls& calls, xtc_handle* handle) {
  std::vector<std::string> chains;
  for (const char* chain = calls.first_chain(handle); chain != nullptr; chain = calls.next_chain(handle)) {
    chains.emplace_back(chain);
  }
  for (const std::string& chain : chains) {
    if (calls.flush(chain.c_str(), handle) == 0) return false;
  }
  // NOLINTNEXTLINE(modernize-loop-convert): clang 14 does not take libstdc++ 12's std::views::reverse
  for (auto chain = chains.rbegin(); chain != chains.rend(); ++chain) {
    if (calls.builtin(chain->c_str(), handle) != 0) continue;
    if (calls.remove(chain->c_str(), handle) == 0) return false;
  }
  return true;
}

/// Writes a table into a handle that has empty built-in chains only.
///
/// libiptc keeps chains sorted by name and looks up a rule's chain by name, from the front of one of its buckets on. So
/// chains are created from the last one on, and each is filled while it is the first one, which is found at once. What
/// jumps to a chain that is not there yet waits until all are.
class Filling {
 public:
  Filling(const Calls& calls, xtc_handle* handle, const RawTable& wanted)
      : calls_(calls), handle_(handle), wanted_(wanted) {
    for (const RawChain& chain : wanted.chains) names_.insert(chain.name);
  }

  /// 0, or an errno value.
  int run() {
    std::vector<const RawChain*> waiting;
    // NOLINTNEXTLINE(modernize-loop-convert): clang 14 does not take libstdc++ 12's std::views::reverse
    for (auto chain = wanted_.chains.rbegin(); chain != wanted_.chains.rend(); ++chain) {
      if (const int problem = create(*chain); problem != 0) return problem;
      if (!jumps_only_behind(*chain)) {
        waiting.push_back(&*chain);
      } else if (const int problem = append_entries(*chain); problem != 0) {
        return problem;
      }
    }
    for (const RawChain* chain : waiting) {
      if (const int problem = append_entries(*chain); problem != 0) return problem;
    }
    return 0;
  }

 private:
  int create(const RawChain& chain) {
    if (chain.policy) {
      xt_counters counters{chain.packets, chain.octets};
      const char* const policy = *chain.policy == Policy::kAccept ? "ACCEPT" : "DROP";
      return calls_.set_policy(chain.name.c_str(), policy, &counters, handle_) != 0 ? 0 : errno;
    }
    return calls_.create(chain.name.c_str(), handle_) != 0 ? 0 : errno;
  }

  /// Of entries, the first one's target, and those behind it.
  [[nodiscard]] std::span<const std::byte> target_of(std::span<const std::byte> entries) const {
    return entries.subspan(load<uint16_t>(entries, at_.target_offset));
  }
  [[nodiscard]] std::span<const std::byte> behind(std::span<const std::byte> entries) const {
    return entries.subspan(load<uint16_t>(entries, at_.next_offset));
  }

  /// Whether every chain that this one jumps to sorts behind it.
  [[nodiscard]] bool jumps_only_behind(const RawChain& chain) const {
    for (auto rest = wanted_.entries(chain); !rest.empty(); rest = behind(rest)) {
      const auto target = target_of(rest);
      if (load<uint8_t>(target, extension_at::kRevision) != RawTable::kLabel) continue;
      const std::string_view name = load_text(target, extension_at::kName, kExtensionNameSize);
      if (name <= chain.name && names_.contains(name)) return false;
    }
    return true;
  }

  int append_entries(const RawChain& chain) {
    for (auto rest = wanted_.entries(chain); !rest.empty(); rest = behind(rest)) {
      if (const int problem = check_target(target_of(rest)); problem != 0) return problem;
      if (calls_.append(chain.name.c_str(), rest.data(), handle_) == 0) return errno;
    }
    return 0;
  }

  /// 0 where libiptc will read the target as what it is.
  [[nodiscard]] int check_target(std::span<const std::byte> target) const {
    if (load<uint8_t>(target, extension_at::kRevision) == RawTable::kLabel) return 0;
    const std::string_view name = load_text(target, extension_at::kName, kExtensionNameSize);
    if (name.empty()) return load<int32_t>(target, kExtensionHeader) == 0 ? 0 : EINVAL;
    return names_.contains(name) ? EEXIST : 0;
  }

  const Calls& calls_;
  xtc_handle* handle_;
  const RawTable& wanted_;
  std::unordered_set<std::string_view> names_;
  EntryLayout at_ = entry_layout(wanted_.family);
};

}  // namespace

int commit_by_libiptc(const RawTable& wanted, const std::function<int()>& may_commit) {
  const Calls& calls = calls_of(wanted.family);
  const Handle handle(calls, wanted.name.c_str());
  if (!handle) return errno;
  if (!clear(calls, handle.get())) return errno;
  if (const int problem = Filling(calls, handle.get(), wanted).run(); problem != 0) return problem;
  if (const int problem = may_commit(); problem != 0) return problem;
  // For the commit libiptc needs as much again as the table has bytes.
  expect_piece(wanted.bytes.size());
  return calls.commit(handle.get()) != 0 ? 0 : errno;
}

}  // namespace tails::iptc::kernel
