#include "cli/commands.h"

#include <array>

namespace tails::cli {

std::span<const Command> commands() {
  static const std::array table{
      kApply,      kConfirm,     kLockdown,       kReset,   kReconfigure,   kStatus,         kShow,
      kExplain,    kProve,       kDiff,           kCheck,   kConntrackList, kConntrackFlush, kConntrackWatch,
      kSessionAdd, kSessionList, kSessionRemove,  kNetnsUp, kNetnsDown,     kNetnsList,      kNetnsExec,
      kBench,      kFastpathRun, kFastpathReplay, kWatch,   kLeaktest,      kReport,         kCompletion};
  return table;
}

}  // namespace tails::cli
