#include "ruleset/text_append.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace tails::ruleset::text {
namespace {

/// Between quotes.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '\'') out += '\\';
    out += c == '\n' || c == '\0' ? ' ' : c;
  }
  out += '"';
}

}  // namespace

void append_number(std::string& out, uint64_t value, int base) {
  std::array<char, 20> digits{};
  const auto* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  out.append(digits.data(), static_cast<size_t>(end - digits.data()));
}

void append_hex(std::string& out, uint64_t value, size_t min_digits) {
  std::string digits;
  append_number(digits, value, 16);
  out += "0x";
  if (digits.size() < min_digits) out.append(min_digits - digits.size(), '0');
  out += digits;
}

void append_string(std::string& out, std::string_view text) {
  const auto is_plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
  };
  if (!text.empty() && std::ranges::all_of(text, is_plain)) {
    out += text;
  } else {
    append_quoted(out, text);
  }
}

void append_name(std::string& out, std::string_view name) {
  const auto breaks = [](char c) { return c == ' ' || c == '"' || c == '\0' || (c >= '\t' && c <= '\r'); };
  if (name.empty() || std::ranges::any_of(name, breaks)) {
    append_quoted(out, name);
  } else {
    out += name;
  }
}

void append_bits(std::string& out, uint32_t bits, std::span<const Word> words) {
  bool first = true;
  const auto separate = [&] {
    if (!first) out += ',';
    first = false;
  };
  for (const auto& [value, name] : words) {
    if ((bits & value) == 0) continue;
    separate();
    out += name;
    bits &= ~value;
  }
  if (bits != 0) {
    separate();
    append_hex(out, bits);
  }
}

void append_ports(std::string& out, const PortRange& ports, char separator) {
  append_number(out, ports.first);
  if (ports.first == ports.last) return;
  out += separator;
  append_number(out, ports.last);
}

void append_option(std::string& out, bool inverted, std::string_view option) {
  if (inverted) out += " !";
  out += ' ';
  out += option;
}

void append_mark(std::string& out, uint32_t value, uint32_t mask) {
  out += ' ';
  append_hex(out, value);
  if (mask == 0xFFFFFFFF) return;
  out += '/';
  append_hex(out, mask);
}

void append_opaque(std::string& out, std::string_view text, uint8_t revision, std::span<const std::byte> data,
                   bool is_known) {
  if (!text.empty()) {
    out += ' ';
    out += text;
  }
  if (data.empty() && revision == 0 && !(is_known && text.empty())) return;
  out += " --opaque ";
  append_number(out, revision);
  out += ':';
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const std::byte byte : data) {
    out += kDigits[std::to_integer<size_t>(byte >> 4)];
    out += kDigits[std::to_integer<size_t>(byte & std::byte{0xF})];
  }
}

}  // namespace tails::ruleset::text
