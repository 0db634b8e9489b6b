#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "iptc/kernel/extensions.h"
#include "iptc/kernel/kernel.h"
#include "iptc/kernel/lines.h"

namespace tails::iptc::kernel {

/// What a kernel can do. The default can do nothing.
struct Capabilities {
  bool ipv6 = false;
  std::set<std::pair<Family, std::string>> tables;  ///< A family without a table has no iptables at all.
  std::vector<Extension> extensions;
  bool nat_has_input = true;              ///< nat has the chain INPUT (from Linux 2.6.36).
  KernelLine line = KernelLine::kLatest;  ///< Decides what the checks of single extensions refuse.

  /// Everything that we can write, as Linux 6.18 offers it.
  static Capabilities everything();
  /// Everything that we can write, as a kernel of that line offers it.
  static Capabilities of(KernelLine line);
  /// Without one extension, every revision of it.
  Capabilities without(Family family, ExtensionKind kind, std::string_view name) const;
  Capabilities without_table(Family family, std::string_view table) const;
};

/// xtables in memory: keeps what it is given, and refuses what a kernel with these capabilities would.
class MemoryKernel final : public Kernel {
 public:
  explicit MemoryKernel(Capabilities capabilities = Capabilities::everything());

  Result<bool> has_ipv6() override;
  Result<std::vector<std::string>> tables(Family family) override;
  Result<RawTable> read(Family family, std::string_view table) override;
  Result<bool> offers(Family family, ExtensionKind kind, std::string_view name, uint8_t revision) override;
  Result<void> replace(const RawTable& wanted, const RawTable& expected) override;
  uint64_t namespace_id() override { return 1; }

  /// Changes a table as another program would: unseen, at any moment. The table must be one this kernel has.
  void edit(const RawTable& table);
  /// Called within `replace`, after the bytes were compared and before the kernel counts the entries: the moment in
  /// which another program's edit is dangerous. Empty: nothing happens.
  std::function<void(MemoryKernel&)> between_compare_and_commit;
  /// How often a table was really replaced.
  [[nodiscard]] size_t replacements() const { return replacements_; }

 private:
  using Key = std::pair<Family, std::string>;
  [[nodiscard]] int missing(Family family, std::string_view table) const;
  RawTable& live(Family family, std::string_view table);
  [[nodiscard]] int validate(const RawTable& table) const;

  Capabilities capabilities_;
  std::map<Key, RawTable> tables_;
  size_t replacements_ = 0;
};

}  // namespace tails::iptc::kernel
