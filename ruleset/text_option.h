#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "ruleset/match.h"
#include "ruleset/target.h"
#include "ruleset/text_token.h"

/// The extensions that the reader knows and their options.
namespace tails::ruleset::text {

/// What an option was given.
struct Argument {
  Token option;           ///< The option itself.
  Token value;            ///< Empty where the option takes none.
  Token second;           ///< Only for `--tcp-flags MASK COMPARE`.
  bool inverted = false;  ///< After "!"; only where `can_invert`.
  Family family = Family::kIpv4;
};

/// One option of an extension that is read into a `V` (Match or Target). Options with the same `slot` exclude each
/// other.
template <class V>
struct Option {
  std::string_view name;  ///< Without the dashes.
  uint8_t values = 1;     ///< How many words follow: 0, 1, 2.
  bool can_invert = false;
  uint8_t slot = 0;  ///< 0..31
  /// Puts the argument into the value; a fault where it cannot be. Nullptr: a real option, but one that `V` cannot
  /// hold, so that the extension as a whole becomes opaque.
  Problem (*read)(V& value, const Argument& argument) = nullptr;
};

/// An extension by name.
template <class V>
struct Extension {
  std::string_view name;
  V start;  ///< What it says without any option.
  std::span<const Option<V>> options;
  uint32_t needs_one_of = 0;    ///< Bits of slots; 0: none is needed.
  std::string_view needs = {};  ///< What the message calls them.
};

/// Nullptr for a name that is not known (in that family).
const Extension<Match>* find_match(std::string_view name, Family family);
const Extension<Target>* find_target(std::string_view name, Family family);

/// The match that `-p` brings with it when one of its options is used: "tcp" for 6 and so on; nullptr if we know none.
const Extension<Match>* find_match_of_protocol(uint8_t protocol, Family family);

}  // namespace tails::ruleset::text
