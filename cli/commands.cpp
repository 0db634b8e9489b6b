#include "cli/commands.h"

#include <array>

namespace tails::cli {

std::span<const Command> commands() {
  static const std::array table{kCompletion};
  return table;
}

}  // namespace tails::cli
