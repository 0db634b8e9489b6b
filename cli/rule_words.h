#pragma once

#include <functional>
#include <optional>
#include <string>

#include "net/ids.h"
#include "ruleset/rule_set.h"

/// Rules in words for people. What a machine reads is `ruleset::write_rule`.
namespace tails::cli {

/// The name of an account; nullopt: shown as its number.
using UserNames = std::function<std::optional<std::string>(Uid)>;

/// What a rule tests: "out lo, tcp SYN, to 127.0.0.1 port 9050, NEW, user _apt"; "everything" where it tests nothing.
std::string tests_in_words(const ruleset::Rule& rule, const UserNames& user_names);

/// What a rule does, in short: "ACCEPT", "to lan" for a jump, "REDIRECT to port 5353", "LOG", "count" for no target.
std::string target_in_words(const ruleset::Target& target);

}  // namespace tails::cli
