#include "ruleset/text_token.h"

namespace tails::ruleset::text {
namespace {

/// A carriage return too: no option has one, and at a line's end it means nothing.
constexpr bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

}  // namespace

std::string quoted(std::string_view word) {
  std::string result = "\"";
  result += word;
  result += '"';
  return result;
}

/// The word that starts at `at`, which ends up behind it.
Read<Token> Tokenizer::take_word(std::string_view line, size_t& at) {
  Token token;
  token.offset = static_cast<uint32_t>(at);
  const size_t value_begin = unescaped_.size();
  std::optional<size_t> open_quote;
  for (; at < line.size(); ++at) {
    const char c = line[at];
    if (open_quote && c == '"') {
      open_quote.reset();
      ++at;
      break;
    }
    if (!open_quote && is_blank(c)) break;
    if (c == '"') {
      token.is_quoted = true;
      open_quote = at;
      continue;
    }
    if (open_quote && c == '\\' && at + 1 < line.size()) ++at;
    unescaped_ += line[at];
  }
  if (open_quote) {
    return tl::unexpected<Fault>(Fault{static_cast<uint32_t>(*open_quote),
                                       static_cast<uint32_t>(line.size() - *open_quote), "the quote is not closed"});
  }
  token.raw = line.substr(token.offset, at - token.offset);
  token.value = std::string_view(unescaped_).substr(value_begin);
  if (token.value.size() > kMaxWord) return fault(token, "this word is longer than 1023 bytes");
  return token;
}

Read<const std::vector<Token>*> Tokenizer::split(std::string_view line, uint32_t offset) {
  tokens_.clear();
  unescaped_.clear();
  unescaped_.reserve(line.size());  // Views into it must survive what is appended.
  size_t at = offset;
  while (true) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size()) return &tokens_;
    auto token = take_word(line, at);
    if (!token) return tl::unexpected(std::move(token.error()));
    if (tokens_.size() == kMaxWords) return fault(*token, "this line has more than 250 words");
    tokens_.push_back(*token);
  }
}

}  // namespace tails::ruleset::text
