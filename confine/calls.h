#pragma once

#include <span>
#include <string_view>

#include "confine/rows.h"

/// Which system calls each group of Calls stands for. What is allowed of those whose arguments count is written down
/// where filters are compiled (compile_filters.cpp).
namespace tails::confine {

/// The calls of one group, for the reader of the table.
std::span<const std::string_view> call_names(Calls group);
/// Those whose arguments count, each with what is allowed of it, as words.
std::span<const std::string_view> calls_by_argument();
/// What Calls::kMost leaves out: no command needs them.
std::span<const std::string_view> never();

}  // namespace tails::confine
