#pragma once

#include "leaktest/case.h"
#include "policy/policy.h"

/// What the policy says of a case: `expected`, `arrives_at` and `origin` are set from `policy::decide`, which knows
/// nothing of rules. Pure.
namespace tails::leaktest {

/// Of what a socket of this machine sends.
void expect(const policy::Policy& policy, Case& attempt);

/// Of a packet that comes in by the machine's interface `in`: INPUT or FORWARD decide.
void expect_on_cable(const policy::Policy& policy, Case& attempt, const InterfaceName& in);

}  // namespace tails::leaktest
