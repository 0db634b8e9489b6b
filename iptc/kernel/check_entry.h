#pragma once

#include "iptc/kernel/entry.h"
#include "iptc/kernel/extensions.h"
#include "iptc/kernel/lines.h"

namespace tails::iptc::kernel {

/// One match or target of an entry, whose size, table, hooks and protocol were found right already.
struct PlacedExtension {
  ExtensionId id;
  const ExtensionView& view;
  const EntryView& entry;
  Family family = Family::kIpv4;
  uint8_t hooks = 0;  ///< From which it is reached.
};

/// What the extension's own check (.checkentry of struct xt_match and xt_target) says in a kernel of that line: 0, or
/// an errno. Pure.
int check_entry(const PlacedExtension& placed, KernelLine line);

/// What ip_checkentry and ip6_checkentry say of an entry's header: 0 or EINVAL.
int check_header(const EntryView& entry, Family family);

}  // namespace tails::iptc::kernel
