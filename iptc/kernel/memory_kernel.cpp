#include "iptc/kernel/memory_kernel.h"

#include <algorithm>
#include <cerrno>

#include "iptc/kernel/check_entry.h"
#include "iptc/kernel/entry.h"
#include "iptc/kernel/words.h"

namespace tails::iptc::kernel {
namespace {

std::vector<std::string_view> builtin_chains(std::string_view table, bool nat_has_input) {
  if (table == "nat" && !nat_has_input) return {"PREROUTING", "OUTPUT", "POSTROUTING"};
  if (table == "nat") return {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"};
  if (table == "mangle") return {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"};
  if (table == "raw") return {"PREROUTING", "OUTPUT"};
  return {"INPUT", "FORWARD", "OUTPUT"};
}

RawTable open_table(Family family, std::string_view name, bool nat_has_input) {
  RawTable table{family, std::string(name), {}, {}};
  for (const std::string_view chain : builtin_chains(name, nat_has_input)) {
    table.chains.push_back({std::string(chain), Policy::kAccept, 0, 0, 0, 0});
  }
  return table;
}

/// What the kernel's check of a table does (translate_table, xt_check_match, xt_check_target), as far as it depends on
/// what we write: entries, extensions, where they may stand, where jumps lead.
class Validator {
 public:
  Validator(const RawTable& table, const Capabilities& capabilities)
      : table_(table), capabilities_(capabilities), jumps_(table.chains.size()), hooks_(table.chains.size()) {}

  int run() {
    for (size_t chain = 0; chain < table_.chains.size(); ++chain) {
      if (const int problem = find_jumps(chain); problem != 0) return problem;
    }
    std::vector<bool> on_path(table_.chains.size());
    for (size_t chain = 0; chain < table_.chains.size(); ++chain) {
      const uint8_t hook = table_.chains[chain].policy ? hook_of(table_.chains[chain].name) : uint8_t{0};
      if (hook != 0 && !reach(chain, hook, on_path)) return ELOOP;
    }
    for (size_t chain = 0; chain < table_.chains.size(); ++chain) {
      if (const int problem = check_chain(chain); problem != 0) return problem;
    }
    return 0;
  }

 private:
  template <class Each>
  int for_each_entry(const RawChain& chain, Each each) const {
    for (auto rest = table_.entries(chain); !rest.empty();) {
      const auto entry = view_entry(rest, table_.family);
      if (!entry) return EINVAL;
      if (const int problem = each(*entry); problem != 0) return problem;
      rest = rest.subspan(entry->bytes.size());
    }
    return 0;
  }

  int find_jumps(size_t chain) {
    return for_each_entry(table_.chains[chain], [&](const EntryView& entry) {
      const auto& target = entry.target;
      const auto to = std::ranges::find(table_.chains, target.name, &RawChain::name);
      if (target.revision != RawTable::kLabel) {
        if (target.name.empty()) return load<int32_t>(target.data, 0) == 0 ? 0 : EINVAL;
        return to == table_.chains.end() ? 0 : EEXIST;
      }
      if (target.whole.size() != standard_target_size()) return EINVAL;
      if (to != table_.chains.end() && !to->policy) {
        jumps_[chain].push_back(static_cast<size_t>(to - table_.chains.begin()));
        return 0;
      }
      // libiptc takes an unknown name for a module's; the kernel then knows no such target.
      if (to != table_.chains.end()) return EINVAL;
      const bool is_verdict =
          target.name == "ACCEPT" || target.name == "DROP" || target.name == "RETURN" || target.name == "QUEUE";
      return is_verdict ? 0 : ENOENT;
    });
  }

  bool reach(size_t chain, uint8_t hook, std::vector<bool>& on_path) {
    if (on_path[chain]) return false;
    if ((hooks_[chain] & hook) != 0) return true;
    hooks_[chain] |= hook;
    on_path[chain] = true;
    const bool sound = std::ranges::all_of(jumps_[chain], [&](size_t to) { return reach(to, hook, on_path); });
    on_path[chain] = false;
    return sound;
  }

  int check_extension(ExtensionKind kind, const ExtensionView& view, const EntryView& entry, uint8_t hooks) const {
    const auto& known = capabilities_.extensions;
    const auto at = std::ranges::find_if(known, [&](const Extension& e) {
      return e.kind == kind && e.is_for(table_.family) && e.name == view.name && e.revision == view.revision;
    });
    if (at == known.end()) return ENOENT;
    if (view.data.size() != xt_align(at->size, kNativeAbi)) return EINVAL;
    if (!at->only_table.empty() && at->only_table != table_.name) return EINVAL;
    if ((hooks & ~at->hooks) != 0) return EINVAL;
    const EntryLayout layout = entry_layout(table_.family);
    const bool protocol_fits = load<uint16_t>(entry.bytes, layout.protocol) == at->only_protocol &&
                               (load<uint8_t>(entry.bytes, layout.inversions) & inversion::kProtocol) == 0;
    if (at->only_protocol != 0 && !protocol_fits) return EINVAL;
    const auto id = find_extension(table_.family, kind, view.name, view.revision);
    return id ? check_entry({*id, view, entry, table_.family, hooks}, capabilities_.line) : 0;
  }

  int check_chain(size_t chain) const {
    return for_each_entry(table_.chains[chain], [&](const EntryView& entry) {
      if (const int problem = check_header(entry, table_.family); problem != 0) return problem;
      auto matches = entry.matches;
      while (const auto match = next_match(matches)) {
        const int problem = check_extension(ExtensionKind::kMatch, *match, entry, hooks_[chain]);
        if (problem != 0) return problem;
      }
      if (entry.target.revision == RawTable::kLabel || entry.target.name.empty()) return 0;
      return check_extension(ExtensionKind::kTarget, entry.target, entry, hooks_[chain]);
    });
  }

  const RawTable& table_;
  const Capabilities& capabilities_;
  std::vector<std::vector<size_t>> jumps_;
  std::vector<uint8_t> hooks_;  ///< From which hooks each chain is reached.
};

/// Entries as the kernel counts them: each chain's end, the heads of user chains and the table's end included.
size_t kernel_count(const RawTable& table) {
  size_t count = table.entry_count() + 1;
  for (const RawChain& chain : table.chains) count += chain.policy ? 1U : 2U;
  return count;
}

}  // namespace

Capabilities Capabilities::everything() { return of(KernelLine::kLatest); }

Capabilities Capabilities::of(KernelLine line) {
  Capabilities all;
  all.ipv6 = true;
  all.line = line;
  all.nat_has_input = line >= KernelLine::k3_2;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    for (const char* const table : {"filter", "nat", "mangle", "raw", "security"}) {
      if (has_table(line, family, table)) all.tables.emplace(family, table);
    }
  }
  for (size_t i = 0; i < kExtensionCount; ++i) {
    const auto id = static_cast<ExtensionId>(i);
    Extension extension = kernel::extension(id);
    if (!has_extension(line, id, Family::kIpv4)) extension.families &= static_cast<uint8_t>(~Extension::kV4);
    if (!has_extension(line, id, Family::kIpv6)) extension.families &= static_cast<uint8_t>(~Extension::kV6);
    if (extension.families != 0) all.extensions.push_back(extension);
  }
  return all;
}

Capabilities Capabilities::without(Family family, ExtensionKind kind, std::string_view name) const {
  Capabilities fewer = *this;
  for (Extension& extension : fewer.extensions) {
    if (extension.kind != kind || extension.name != name) continue;
    extension.families =
        static_cast<uint8_t>(extension.families & ~(family == Family::kIpv4 ? Extension::kV4 : Extension::kV6));
  }
  return fewer;
}

Capabilities Capabilities::without_table(Family family, std::string_view table) const {
  Capabilities fewer = *this;
  fewer.tables.erase({family, std::string(table)});
  return fewer;
}

MemoryKernel::MemoryKernel(Capabilities capabilities) : capabilities_(std::move(capabilities)) {}

int MemoryKernel::missing(Family family, std::string_view table) const {
  const auto& tables = capabilities_.tables;
  if (std::ranges::none_of(tables, [&](const Key& key) { return key.first == family; })) return ENOPROTOOPT;
  return tables.contains({family, std::string(table)}) ? 0 : ENOENT;
}

RawTable& MemoryKernel::live(Family family, std::string_view table) {
  const auto [at, is_new] = tables_.try_emplace({family, std::string(table)});
  if (is_new) at->second = open_table(family, table, capabilities_.nat_has_input);
  return at->second;
}

Result<bool> MemoryKernel::has_ipv6() { return capabilities_.ipv6; }

Result<std::vector<std::string>> MemoryKernel::tables(Family family) {
  std::vector<std::string> names;
  for (const auto& [key, table] : tables_) {
    if (key.first == family) names.push_back(key.second);
  }
  return names;
}

Result<RawTable> MemoryKernel::read(Family family, std::string_view table) {
  if (const int problem = missing(family, table); problem != 0) {
    return tl::unexpected(read_error(family, table, problem));
  }
  return live(family, table);
}

Result<bool> MemoryKernel::offers(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) {
  if (missing(family, "filter") == ENOPROTOOPT) return tl::unexpected(probe_error(family, name, ENOPROTOOPT));
  return std::ranges::any_of(capabilities_.extensions, [&](const Extension& e) {
    return e.kind == kind && e.is_for(family) && e.name == name && e.revision == revision;
  });
}

int MemoryKernel::validate(const RawTable& table) const { return Validator(table, capabilities_).run(); }

Result<void> MemoryKernel::replace(const RawTable& wanted, const RawTable& expected) {
  const auto refuse = [&](int problem) { return tl::unexpected(replace_error(wanted.family, wanted.name, problem)); };
  if (const int problem = missing(wanted.family, wanted.name); problem != 0) {
    return tl::unexpected(read_error(wanted.family, wanted.name, problem));
  }
  RawTable& table = live(wanted.family, wanted.name);
  if (!same_rules(table, expected)) return refuse(EAGAIN);
  const size_t count = kernel_count(table);
  if (between_compare_and_commit) between_compare_and_commit(*this);
  if (const int problem = validate(wanted); problem != 0) return refuse(problem);
  if (kernel_count(table) != count) return refuse(EAGAIN);
  table = wanted;
  // As libiptc leaves them.
  const auto first_user = std::ranges::find_if(table.chains, [](const RawChain& c) { return !c.policy; });
  std::sort(first_user, table.chains.end(), [](const RawChain& a, const RawChain& b) { return a.name < b.name; });
  ++replacements_;
  return {};
}

void MemoryKernel::edit(const RawTable& table) { live(table.family, table.name) = table; }

}  // namespace tails::iptc::kernel
