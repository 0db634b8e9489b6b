#pragma once

#include <span>
#include <string>

#include "cli/command.h"

/// Completion for shells, made from the command table. Pure.
namespace tails::cli {

/// To be sourced, or put into /usr/share/bash-completion/completions/tails-iptc.
std::string bash_completion(std::span<const Command> commands);
/// For a folder in zsh's $fpath, as _tails-iptc.
std::string zsh_completion(std::span<const Command> commands);
/// For /usr/share/fish/vendor_completions.d/tails-iptc.fish.
std::string fish_completion(std::span<const Command> commands);

}  // namespace tails::cli
