#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace tails {

/// The candidate that a person who typed `word` most likely meant: the fewest insertions, deletions, replacements and
/// swaps of neighbours, at most a third of the word's length (but one at least); ties go to the first.
/// Nullopt when none is that near. For "did you mean". Letters are bytes, capitals count as small ones.
std::optional<std::string_view> nearest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace tails
