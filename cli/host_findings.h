#pragma once

#include <string>

#include "cli/screen.h"
#include "host/finding.h"
#include "policy/policy.h"

/// What about this machine, its rules aside, undoes what the policy wants: a section of `status`.
namespace tails::cli {

/// Everything that host/ can find. `root`: where the files are looked for; parameters, interfaces and namespaces are
/// always those of the calling thread.
host::Findings find_on_host(const policy::Policy& policy, const std::string& root = "/");

/// "On this machine:" and each finding with its remedy below it; empty where there are none.
std::string on_host_text(const host::Findings& findings, const Screen& screen);

}  // namespace tails::cli
