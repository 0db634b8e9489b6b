#pragma once

#include <rapidcheck.h>

#include <string>

/// Policies and drop-ins as text, as rapidcheck generates and shrinks them, over few users, addresses and ports, so
/// that entries meet (library tails_policy_texts). They are read under `usual_machine`.
namespace tails::testing {

/// A policy that is accepted: any of its tables may be missing.
rc::Gen<std::string> policy_texts();

/// A drop-in that is accepted beside each of `policy_texts`: users, services and namespaces of its own.
rc::Gen<std::string> drop_in_texts();

/// A drop-in with one thing that none may say: another table, another name, or a number for an account that the policy
/// file speaks of (amnesia, which each of `policy_texts` pins).
rc::Gen<std::string> overreaching_texts();

}  // namespace tails::testing
