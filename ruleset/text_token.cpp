#include "ruleset/text_token.h"

namespace tails::ruleset::text {
namespace {

constexpr bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

std::string quoted(std::string_view word) {
  std::string result = "\"";
  result += word;
  result += '"';
  return result;
}

Read<const std::vector<Token>*> Tokenizer::split(std::string_view line, uint32_t offset) {
  tokens_.clear();
  unescaped_.clear();
  unescaped_.reserve(line.size());  // Views into it must survive what is appended.
  size_t at = offset;
  while (true) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size()) return &tokens_;

    Token token;
    token.offset = static_cast<uint32_t>(at);
    const size_t value_begin = unescaped_.size();
    bool is_open = false;
    size_t quote = 0;
    for (; at < line.size(); ++at) {
      const char c = line[at];
      if (is_open) {
        if (c == '"') {
          is_open = false;
          ++at;
          break;
        }
        if (c == '\\' && at + 1 < line.size()) ++at;
        unescaped_ += line[at];
      } else if (c == '"') {
        is_open = token.is_quoted = true;
        quote = at;
      } else if (is_blank(c)) {
        break;
      } else {
        unescaped_ += c;
      }
    }
    if (is_open) {
      return tl::unexpected<Fault>(Fault{
          static_cast<uint32_t>(quote), static_cast<uint32_t>(line.size() - quote), "the quote is not closed", {}});
    }
    token.raw = line.substr(token.offset, at - token.offset);
    token.value = std::string_view(unescaped_).substr(value_begin);
    if (token.value.size() > kMaxWord) return fault(token, "this word is longer than 1023 bytes");
    if (tokens_.size() == kMaxWords) return fault(token, "this line has more than 250 words");
    tokens_.push_back(token);
  }
}

}  // namespace tails::ruleset::text
