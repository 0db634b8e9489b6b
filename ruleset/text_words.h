#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ruleset/text_token.h"

namespace tails::ruleset::text {

/// The words of one line and how far they are read. Keeps a pointer to `tokens`.
class Words {
 public:
  explicit Words(const std::vector<Token>& tokens) : tokens_(&tokens), owners_(tokens.size()) {}

  [[nodiscard]] bool at_end() const { return next_ == tokens_->size(); }
  [[nodiscard]] const Token& peek() const { return (*tokens_)[next_]; }
  const Token& take() { return (*tokens_)[next_++]; }

  /// Remembers a "!" for the option that follows.
  Problem invert(const Token& mark);
  /// Nothing may be left of it at the end of the line.
  [[nodiscard]] Problem check_inversion() const;

  /// What follows is the value of the option just taken ("--option=value", "-ovalue").
  void glue(const Token& value) { glued_ = value; }
  [[nodiscard]] bool is_glued() const { return glued_.has_value(); }

  /// Whether `option` is inverted, by a "!" before it or, as in the old days, before its value: where it takes none, a
  /// "!" behind it belongs to what follows.
  Read<bool> take_inversion(const Token& option, bool can_invert, bool has_value = true);
  /// The next value of `option`.
  Read<Token> take_value(const Token& option);
  /// For an option that takes none.
  [[nodiscard]] Problem check_no_value(const Token& option) const;

  /// What an unknown option may take: everything up to the next option or its "!". A "!" before the option counts too.
  /// All of it belongs to `owner` then.
  void give_rest_to(size_t owner);
  /// The words from the option at hand on, and its "!", belong to `owner`.
  void give_to(size_t owner);
  /// The words of `owner` as they stand, one space between them.
  [[nodiscard]] std::string raw_words(size_t owner) const;
  /// The option at hand starts here; with its "!".
  void start_option();

 private:
  const std::vector<Token>* tokens_;
  std::vector<size_t> owners_;
  size_t next_ = 0;
  size_t option_begin_ = 0;
  std::optional<Token> inversion_;
  std::optional<Token> glued_;
};

}  // namespace tails::ruleset::text
