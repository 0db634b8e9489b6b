#include "iptc/kernel/image.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "iptc/kernel/entry.h"

namespace tails::iptc::kernel {
namespace {

constexpr std::string_view kErrorTarget = "ERROR";

/// One walk over an image. Entries are normalised on the way; jumps get their names in a second walk, when every
/// chain is known.
class Reader {
 public:
  Reader(Image image, Abi abi)
      : image_(std::move(image)),
        entries_(std::span(image_.entries).subspan(image_.begin)),
        abi_(abi),
        at_(entry_layout(image_.family, abi)) {}

  Result<RawTable> run() {
    bool at_end = false;
    for (size_t offset = 0; offset < entries_.size();) {
      const auto entry = view_entry(entries_.subspan(offset), image_.family, abi_);
      if (!entry || at_end) return broken(offset);
      const size_t size = entry->bytes.size();
      if (entry->target.name == kErrorTarget) {
        if (!close_chain()) return broken(offset);
        at_end = offset + size == entries_.size();
        if (!at_end && !open_user_chain(*entry, offset + size)) return broken(offset);
      } else {
        if (const auto hook = hook_at(offset)) {
          if (!close_chain()) return broken(offset);
          open_builtin_chain(*hook, offset);
        }
        if (!is_open_) return broken(offset);
        normalise_entry(entries_.subspan(offset, size), image_.family, abi_);
        last_entry_ = offset;
      }
      offset += size;
    }
    if (!at_end || !all_hooks_seen()) return broken(entries_.size());
    name_jumps();
    for (RawChain& chain : table_.chains) {
      chain.begin += image_.begin;
      chain.end += image_.begin;
    }
    table_.family = image_.family;
    table_.name = std::move(image_.table);
    table_.bytes = std::move(image_.entries);
    return std::move(table_);
  }

 private:
  [[nodiscard]] tl::unexpected<Error> broken(size_t offset) const {
    return fail(ErrorKind::kRefused,
                fmt::format("table \"{}\" of {} has a shape that no iptables tool makes, at byte {}", image_.table,
                            image_.family == Family::kIpv4 ? "IPv4" : "IPv6", offset),
                "Another program wrote it past libiptc. Flush it with that program.");
  }

  [[nodiscard]] std::optional<size_t> hook_at(size_t offset) const {
    for (size_t hook = 0; hook < kHooks; ++hook) {
      if ((image_.valid_hooks >> hook & 1) != 0 && image_.hook_entry[hook] == offset) return hook;
    }
    return std::nullopt;
  }

  [[nodiscard]] bool all_hooks_seen() const {
    size_t hooks = 0;
    for (size_t hook = 0; hook < kHooks; ++hook) hooks += image_.valid_hooks >> hook & 1;
    const auto builtin = std::ranges::count_if(table_.chains, [](const RawChain& c) { return c.policy.has_value(); });
    return hooks == static_cast<size_t>(builtin);
  }

  void open_builtin_chain(size_t hook, size_t offset) {
    table_.chains.push_back({std::string(kHookNames[hook]), Policy::kDrop, offset, offset, 0, 0});
    is_open_ = true;
    last_entry_.reset();
    hook_ = hook;
  }

  bool open_user_chain(const EntryView& head, size_t begin) {
    if (head.target.data.size() < kErrorNameSize) return false;
    const std::string_view name = load_text(head.target.data, 0, kErrorNameSize);
    if (name.empty() || name.size() > kExtensionNameSize) return false;
    table_.chains.push_back({std::string(name), std::nullopt, begin, begin, 0, 0});
    starts_.push_back({static_cast<uint32_t>(begin), table_.chains.size() - 1});
    is_open_ = true;
    last_entry_.reset();
    hook_.reset();
    return true;
  }

  /// The last entry of a chain is its end: a policy, or RETURN. False where it is neither.
  bool close_chain() {
    if (!is_open_) return table_.chains.empty();
    is_open_ = false;
    if (!last_entry_) return false;
    const auto end = view_entry(entries_.subspan(*last_entry_), image_.family, abi_);
    if (!end || !end->target.name.empty() || end->target.whole.size() != standard_target_size(abi_) ||
        !is_unconditional(*end, image_.family, abi_)) {
      return false;
    }
    const auto number = load<int32_t>(end->target.data, 0);
    RawChain& chain = table_.chains.back();
    chain.end = *last_entry_;
    if (!hook_) return number == verdict::kReturn;
    if (image_.underflow[*hook_] != *last_entry_) return false;
    if (number != verdict::kAccept && number != verdict::kDrop) return false;
    chain.policy = number == verdict::kAccept ? Policy::kAccept : Policy::kDrop;
    chain.packets = load<uint64_t>(end->bytes, at_.counters);
    chain.octets = load<uint64_t>(end->bytes, at_.counters + 8);
    return true;
  }

  [[nodiscard]] std::optional<std::string_view> label_of(int32_t number) const {
    switch (number) {
      case verdict::kAccept: return "ACCEPT";
      case verdict::kDrop: return "DROP";
      case verdict::kReturn: return "RETURN";
      case verdict::kQueue: return "QUEUE";
      default: break;
    }
    if (number < 0) return std::nullopt;
    const auto at = std::ranges::lower_bound(starts_, static_cast<uint32_t>(number), {}, &ChainStart::offset);
    if (at == starts_.end() || at->offset != static_cast<uint32_t>(number)) return std::nullopt;
    return table_.chains[at->chain].name;
  }

  void name_jumps() {
    for (const RawChain& chain : table_.chains) {
      for (size_t offset = chain.begin; offset < chain.end;) {
        const auto entry = entries_.subspan(offset);
        const size_t size = load<uint16_t>(entry, at_.next_offset);
        const size_t target_offset = load<uint16_t>(entry, at_.target_offset);
        const auto target = entry.subspan(target_offset, size - target_offset);
        offset += size;
        if (target[extension_at::kName] != std::byte{0} || target.size() != standard_target_size(abi_)) continue;
        const auto number = load<int32_t>(target, kExtensionHeader);
        if (number >= 0 && static_cast<size_t>(number) == offset) {
          store<int32_t>(target, kExtensionHeader, 0);
        } else if (const auto label = label_of(number)) {
          store_text(target, extension_at::kName, kExtensionNameSize, *label);
          store<uint8_t>(target, extension_at::kRevision, RawTable::kLabel);
          store<int32_t>(target, kExtensionHeader, 0);
        }
      }
    }
  }

  struct ChainStart {
    uint32_t offset;
    size_t chain;
  };

  Image image_;
  std::span<std::byte> entries_;  ///< Of the image.
  Abi abi_;
  EntryLayout at_;
  RawTable table_;
  std::vector<ChainStart> starts_;  ///< Of user chains, ascending.
  bool is_open_ = false;
  std::optional<size_t> hook_;        ///< Of the open chain, where it is built in.
  std::optional<size_t> last_entry_;  ///< Of the open chain.
};

}  // namespace

Result<RawTable> from_image(Image image, Abi abi) { return Reader(std::move(image), abi).run(); }

}  // namespace tails::iptc::kernel
