#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

/// What the reader of the text form is made of: words with their places, and faults that know the place.
namespace tails::ruleset::text {

/// One word of a line: `value` without quotes and escapes, `raw` as it stands. Both live as long as the line.
struct Token {
  std::string_view value;
  std::string_view raw;
  uint32_t offset = 0;     ///< Of `raw` in the line, in bytes.
  bool is_quoted = false;  ///< A part of it stands between quotes.
};

/// Why a line cannot be read, and where: a range of bytes in the line.
struct Fault {
  uint32_t offset = 0;
  uint32_t length = 1;
  std::string fact;
  std::string remedy = {};
};

template <class T>
using Read = tl::expected<T, Fault>;

inline tl::unexpected<Fault> fault(const Token& at, std::string fact, std::string remedy = {}) {
  return tl::unexpected<Fault>(
      Fault{at.offset, static_cast<uint32_t>(at.raw.size()), std::move(fact), std::move(remedy)});
}

/// The same, for functions that return nothing else.
using Problem = std::optional<Fault>;
inline Problem problem(const Token& at, std::string fact, std::string remedy = {}) {
  return fault(at, std::move(fact), std::move(remedy)).value();
}

/// Hands over what was read, or says why nothing was.
template <class T, class Store>
Problem store(Read<T> read, const Store& into) {
  if (!read) return std::move(read.error());
  into(*std::move(read));
  return std::nullopt;
}

/// A word between double quotes, for messages: "\"eth0\"".
std::string quoted(std::string_view word);

/// Splits a line into words as iptables-restore 1.8.9 does (add_param_to_argv in iptables/xshared.c): blanks and tabs
/// separate; double quotes keep them together, and only between them a backslash takes the next byte as it is; a
/// closing quote ends the word.
class Tokenizer {
 public:
  /// The words of `line` from `offset` on, valid until the next call and while `line` lives.
  /// Fails when a quote is not closed or a word or the line is longer than iptables-restore takes.
  Read<const std::vector<Token>*> split(std::string_view line, uint32_t offset);

  static constexpr size_t kMaxWord = 1023;
  static constexpr size_t kMaxWords = 250;

 private:
  Read<Token> take_word(std::string_view line, size_t& at);

  std::vector<Token> tokens_;
  std::string unescaped_;  ///< Where values live that differ from the line.
};

}  // namespace tails::ruleset::text
