#include "policy/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/nearest.h"

namespace tails::policy {

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                         const std::string& otherwise) {
  const auto near = nearest(word, candidates);
  return near ? fmt::format("did you mean \"{}\"?", *near) : otherwise;
}

TableReader::TableReader(const Value& table, const Document& document, std::string title,
                         std::span<const std::string_view> keys, Report& report)
    : table_(table), document_(document), title_(std::move(title)), report_(report) {
  if (keys.empty()) return;
  for (const Member& member : table.members) {
    if (std::ranges::find(keys, member.key) != keys.end()) continue;
    const Place place{&document, member.key_span, false};
    report.error(place, fmt::format("unknown key \"{}\" in {}", member.key, title_),
                 did_you_mean(member.key, keys, fmt::format("Known here: {}.", fmt::join(keys, ", "))));
  }
}

const Member* TableReader::find(std::string_view key) const {
  const auto at = std::ranges::find(table_.members, key, &Member::key);
  return at == table_.members.end() ? nullptr : &*at;
}

bool TableReader::expect(const Value& value, Value::Kind kind) const {
  if (value.kind == kind) return true;
  report_.error(place(value), fmt::format("expected {}, found {}", to_string(kind), to_string(value.kind)));
  return false;
}

const Value* TableReader::get(std::string_view key, Need need, Value::Kind kind) const {
  const Member* member = find(key);
  if (member == nullptr) {
    if (need == Need::kRequired) report_.error(place(), fmt::format("{} needs the key \"{}\"", title_, key));
    return nullptr;
  }
  return expect(member->value, kind) ? &member->value : nullptr;
}

std::optional<Text> TableReader::text(std::string_view key, Need need) const {
  const Value* value = get(key, need, Value::Kind::kString);
  if (value == nullptr) return std::nullopt;
  if (value->text.empty()) {
    report_.error(place(*value), fmt::format("\"{}\" is empty", key));
    return std::nullopt;
  }
  return Text{value->text, place(*value)};
}

bool TableReader::expect_text(std::string_view key, const Value& item) const {
  if (!expect(item, Value::Kind::kString)) return false;
  if (item.text.empty()) report_.error(place(item), fmt::format("\"{}\" has an empty string", key));
  return !item.text.empty();
}

bool TableReader::boolean(std::string_view key, bool fallback) const {
  const Value* value = get(key, Need::kOptional, Value::Kind::kBoolean);
  return value == nullptr ? fallback : value->boolean;
}

std::optional<uint16_t> TableReader::port(std::string_view key) const {
  const Value* value = get(key, Need::kOptional, Value::Kind::kInteger);
  if (value == nullptr) return std::nullopt;
  if (value->integer == 0) {
    report_.error(place(*value), "port 0 cannot be used", "Ports go from 1 to 65535.");
  } else if (value->integer < 0 || value->integer > 65535) {
    report_.error(place(*value),
                  fmt::format("port {} is {}", value->integer, value->integer < 0 ? "negative" : "over 65535"),
                  "Ports go from 1 to 65535.");
  } else {
    return static_cast<uint16_t>(value->integer);
  }
  return std::nullopt;
}

const Value* TableReader::table(std::string_view key) const { return get(key, Need::kOptional, Value::Kind::kTable); }

}  // namespace tails::policy
