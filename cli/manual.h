#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"

/// Manual pages, made from the command table as the help is. Pure.
namespace tails::cli {

struct ManualPage {
  std::string file;  ///< "tails-iptc-session-add.8"
  std::string text;  ///< man(7), ASCII apart from what the table holds.
};

/// What the table does not know.
struct ManualEdition {
  std::string_view version;  ///< "0.1.0"
  std::string_view date;     ///< "2026-11-20"; of the release, so that two builds give the same bytes.
};

/// tails-iptc(8), then one page for each command, in the order of the table.
std::vector<ManualPage> manual(std::span<const Command> commands, const ManualEdition& edition);

}  // namespace tails::cli
