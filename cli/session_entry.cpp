#include "cli/session_entry.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "net/ids.h"

namespace tails::cli::session {
namespace {

/// A TOML basic string.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string quoted_list(std::string_view text) {
  std::vector<std::string> items;
  while (true) {
    const size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    items.push_back(quoted(item));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return fmt::format("[{}]", fmt::join(items, ", "));
}

const policy::Member* find(const policy::Value& table, std::string_view key) {
  const auto at = std::ranges::find(table.members, key, &policy::Member::key);
  return at == table.members.end() ? nullptr : &*at;
}

/// As it stands in the file: a name of the policy's, or in quotes.
std::string key_text(std::string_view key) {
  const auto is_bare = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !key.empty() && std::ranges::all_of(key, is_bare) ? std::string(key) : quoted(key);
}

std::string value_text(const policy::Value& value) {
  using Kind = policy::Value::Kind;
  if (value.kind == Kind::kString) return quoted(value.text);
  if (value.kind == Kind::kBoolean) return value.boolean ? "true" : "false";
  if (value.kind == Kind::kInteger) return std::to_string(value.integer);
  std::vector<std::string> items;
  for (const policy::Value& item : value.items) items.push_back(value_text(item));
  return fmt::format("[{}]", fmt::join(items, ", "));
}

}  // namespace

std::optional<uint32_t> number_in(std::string_view text) {
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end != text.data() && number != kInvalidId ? std::optional(number) : std::nullopt;
}

uint32_t number_of(std::string_view path) { return number_in(path.substr(path.rfind('/') + 1)).value_or(0); }

std::optional<Entry> read_entry(const policy::Document& document) {
  const auto root = policy::parse_toml(document);
  if (!root) return std::nullopt;
  Entry entry;
  entry.number = number_of(document.name);
  entry.path = document.name;
  for (const policy::Member& member : root->members) {
    if (member.key == "added") {
      const policy::Member* by = find(member.value, "by");
      const policy::Member* at = find(member.value, "at");
      if (by != nullptr) entry.added_by = by->value.text;
      if (at != nullptr) entry.added_at = at->value.text;
    } else if (member.value.kind == policy::Value::Kind::kArray && !member.value.items.empty()) {
      entry.kind = key_text(member.key);
      std::vector<std::string> words;
      for (const policy::Member& key : member.value.items.front().members) {
        words.push_back(fmt::format("{} = {}", key_text(key.key), value_text(key.value)));
      }
      entry.text = fmt::format("{}", fmt::join(words, ", "));
    }
  }
  return entry.number == 0 ? std::nullopt : std::optional(entry);
}

std::string write_entry(std::string_view kind, std::span<const Setting> settings, std::string_view by,
                        std::string_view at) {
  std::string text = fmt::format("schema = 1\n\n[added]\nby = {}\nat = {}\n\n[[{}]]\n", quoted(by), quoted(at), kind);
  for (const Setting& setting : settings) {
    text += fmt::format("{} = {}\n", setting.key,
                        setting.text.empty() ? "true"
                        : setting.is_list    ? quoted_list(setting.text)
                                             : quoted(setting.text));
  }
  return text;
}

}  // namespace tails::cli::session
