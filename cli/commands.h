#pragma once

#include <span>

#include "cli/command.h"

namespace tails::cli {

/// Every command, in the order of the help.
std::span<const Command> commands();

// One constant per file `cli/NAME.cpp`.
extern const Command kApply;
extern const Command kConfirm;
extern const Command kLockdown;
extern const Command kReset;
extern const Command kReconfigure;
extern const Command kStatus;
extern const Command kShow;
extern const Command kExplain;
extern const Command kProve;
extern const Command kDiff;
extern const Command kCheck;
extern const Command kConntrackList;
extern const Command kConntrackFlush;
extern const Command kConntrackWatch;
extern const Command kSessionAdd;
extern const Command kSessionList;
extern const Command kSessionRemove;
extern const Command kNetnsUp;
extern const Command kNetnsDown;
extern const Command kNetnsList;
extern const Command kNetnsExec;
extern const Command kBench;
extern const Command kFastpathRun;
extern const Command kFastpathReplay;
extern const Command kWatch;
extern const Command kLeaktest;
extern const Command kReport;
extern const Command kCompletion;

}  // namespace tails::cli
