#include "iptc/kernel/libiptc.h"

#include <malloc.h>

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

/// Empties every chain and removes those that are not wanted. Chains are removed from the last one on: libiptc's
/// index of chains is rebuilt each time a bucket loses its first chain, but not when it loses its last.
bool clear(const Calls& calls, xtc_handle* handle, const std::unordered_set<std::string_view>& wanted_chains) {
  std::vector<std::string> chains;
  for (const char* chain = calls.first_chain(handle); chain != nullptr; chain = calls.next_chain(handle)) {
    chains.emplace_back(chain);
  }
  for (const std::string& chain : chains) {
    if (calls.flush(chain.c_str(), handle) == 0) return false;
  }
  for (auto chain = chains.rbegin(); chain != chains.rend(); ++chain) {
    if (wanted_chains.contains(*chain) || calls.builtin(chain->c_str(), handle) != 0) continue;
    if (calls.remove(chain->c_str(), handle) == 0) return false;
  }
  return true;
}

/// 0 where libiptc will read the target as what it is.
int check_target(std::span<const std::byte> target, const std::unordered_set<std::string_view>& chains) {
  if (load<uint8_t>(target, extension_at::kRevision) == RawTable::kLabel) return 0;
  const std::string_view name = load_text(target, extension_at::kName, kExtensionNameSize);
  if (name.empty()) return load<int32_t>(target, kExtensionHeader) == 0 ? 0 : EINVAL;
  return chains.contains(name) ? EEXIST : 0;
}

int fill(const Calls& calls, xtc_handle* handle, const RawTable& wanted,
         const std::unordered_set<std::string_view>& wanted_chains) {
  // From the last one on: libiptc keeps chains sorted by name, and looks for a new one's place from the front.
  for (auto chain = wanted.chains.rbegin(); chain != wanted.chains.rend(); ++chain) {
    if (chain->policy) {
      xt_counters counters{chain->packets, chain->octets};
      const char* const policy = *chain->policy == Policy::kAccept ? "ACCEPT" : "DROP";
      if (calls.set_policy(chain->name.c_str(), policy, &counters, handle) == 0) return errno;
    } else if (calls.create(chain->name.c_str(), handle) == 0 && errno != EEXIST) {
      return errno;
    }
  }
  const EntryLayout at = entry_layout(wanted.family);
  for (const RawChain& chain : wanted.chains) {
    for (auto rest = wanted.entries(chain); !rest.empty(); rest = rest.subspan(load<uint16_t>(rest, at.next_offset))) {
      const auto target = rest.subspan(load<uint16_t>(rest, at.target_offset));
      if (const int problem = check_target(target, wanted_chains); problem != 0) return problem;
      if (calls.append(chain.name.c_str(), rest.data(), handle) == 0) return errno;
    }
  }
  return 0;
}

}  // namespace

int commit_by_libiptc(const RawTable& wanted, const std::function<int()>& may_commit) {
  const Calls& calls = calls_of(wanted.family);
  std::unordered_set<std::string_view> chains;
  for (const RawChain& chain : wanted.chains) chains.insert(chain.name);
  const Handle handle(calls, wanted.name.c_str());
  if (!handle) return errno;
  if (!clear(calls, handle.get(), chains)) return errno;
  if (const int problem = fill(calls, handle.get(), wanted, chains); problem != 0) return problem;
  if (const int problem = may_commit(); problem != 0) return problem;
  // For the commit libiptc needs as much again as the table has bytes, in one piece; what earlier steps left free
  // between their pieces goes back first.
  constexpr size_t kLarge = 1UL << 20;
  if (wanted.bytes.size() > kLarge) malloc_trim(0);
  return calls.commit(handle.get()) != 0 ? 0 : errno;
}

}  // namespace tails::iptc::kernel
