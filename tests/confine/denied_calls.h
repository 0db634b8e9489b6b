#pragma once

#include <span>
#include <string_view>

#include "confine/rows.h"

namespace tails::test {

/// Something that a confined command must not be able to do, tried for real.
struct DeniedCall {
  std::string_view name;
  /// 0: it was done; else the errno it failed with.
  int (*attempt)();
  /// Rows with one of these groups may do it.
  confine::Calls but_for = confine::Calls::kReadOnly;
  /// Rows with kMost are denied it as well.
  bool for_all = false;
  /// LeakSanitizer needs it, so a build with sanitizers allows it.
  bool but_sanitized = false;
};

std::span<const DeniedCall> denied_calls();

}  // namespace tails::test
