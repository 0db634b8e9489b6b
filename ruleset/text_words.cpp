#include "ruleset/text_words.h"

#include <algorithm>
#include <utility>

namespace tails::ruleset::text {
namespace {

bool is_inversion(const Token& token) { return token.value == "!" && !token.is_quoted; }

bool looks_like_option(const Token& token) {
  return !token.is_quoted && token.value.size() > 1 && token.value.front() == '-';
}

}  // namespace

Problem Words::invert(const Token& mark) {
  if (inversion_) return problem(mark, "\"!\" stands twice");
  inversion_ = mark;
  return std::nullopt;
}

Problem Words::check_inversion() const {
  if (inversion_) return problem(*inversion_, "nothing follows \"!\"");
  return std::nullopt;
}

void Words::start_option() {
  option_begin_ = next_ - 1 - (inversion_ ? 1 : 0);
  glued_.reset();
}

Read<bool> Words::take_inversion(const Token& option, bool can_invert, bool has_value) {
  const auto before = std::exchange(inversion_, std::nullopt);
  if (before && !can_invert) return fault(*before, "\"!\" cannot stand before " + std::string(option.value));
  if (!can_invert || !has_value || glued_ || at_end() || !is_inversion(peek())) return before.has_value();
  if (before) return fault(peek(), "\"!\" stands twice");
  ++next_;
  return true;
}

Read<Token> Words::take_value(const Token& option) {
  if (glued_) return *std::exchange(glued_, std::nullopt);
  if (at_end()) return fault(option, std::string(option.value) + " needs a value");
  return take();
}

Problem Words::check_no_value(const Token& option) const {
  if (glued_) return problem(option, std::string(option.value) + " takes no value");
  return std::nullopt;
}

void Words::give_to(size_t owner) {
  std::fill(owners_.begin() + static_cast<std::ptrdiff_t>(option_begin_),
            owners_.begin() + static_cast<std::ptrdiff_t>(next_), owner);
}

void Words::give_rest_to(size_t owner) {
  inversion_.reset();
  glued_.reset();
  while (!at_end() && !looks_like_option(peek())) {
    // At the end of the line it is an error, which others find.
    const bool inverts_next =
        is_inversion(peek()) && (next_ + 1 == tokens_->size() || looks_like_option((*tokens_)[next_ + 1]));
    if (inverts_next) break;
    ++next_;
  }
  give_to(owner);
}

std::string Words::raw_words(size_t owner) const {
  std::string text;
  for (size_t i = 0; i < owners_.size(); ++i) {
    if (owners_[i] != owner) continue;
    if (!text.empty()) text += ' ';
    text += (*tokens_)[i].raw;
  }
  return text;
}

}  // namespace tails::ruleset::text
