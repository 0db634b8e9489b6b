#pragma once

#include <string>
#include <string_view>

#include "net/address.h"

/// iptables-legacy-restore and -save in a network namespace of their own, which ends with the call.
namespace tails::ruleset {

struct ToolRun {
  int status = -1;  ///< Exit status.
  std::string output;
  std::string errors;
};

/// Nothing when namespaces and the tools can be used here, else the reason.
std::string why_no_tool();

/// `iptables-legacy-restore --test`: whether it takes the text, without loading it.
ToolRun restore_test(Family family, std::string_view text);

/// Loads the text into a fresh namespace; `output` is what `iptables-legacy-save -c` then prints of the tables that
/// the text names (in its order), without the comment lines.
ToolRun restore_and_save(Family family, std::string_view text);

}  // namespace tails::ruleset
