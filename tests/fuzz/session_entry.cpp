// Any text, as an exception of a session: read or damaged, never worse. And any words, as what `session add` was given:
// the document says them and nothing else.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "cli/session_entry.h"
#include "policy/toml.h"

namespace {

using namespace tails;                // NOLINT(google-build-using-namespace): the program's own file
using namespace tails::cli::session;  // NOLINT(google-build-using-namespace)
using policy::Value;

void expect(bool holds) {
  if (!holds) std::abort();
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

std::vector<std::string_view> cut(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t end = 0; end != std::string_view::npos;) {
    end = text.find('\0');
    parts.push_back(text.substr(0, end));
    if (end != std::string_view::npos) text.remove_prefix(end + 1);
  }
  return parts;
}

void expect_value(const Value& value, const Setting& setting) {
  if (setting.text.empty()) {
    expect(value.kind == Value::Kind::kBoolean && value.boolean);
  } else if (!setting.is_list) {
    expect(value.kind == Value::Kind::kString && value.text == setting.text);
  } else {
    expect(value.kind == Value::Kind::kArray);
    std::string joined;
    for (const Value& item : value.items) {
      expect(item.kind == Value::Kind::kString && item.text.find(',') == std::string::npos);
      joined += (joined.empty() ? "" : ",") + item.text;
    }
    std::string wanted = setting.text;
    const auto is_mark = [](char c) { return c == ' ' || c == ','; };
    std::erase_if(wanted, is_mark);
    std::erase_if(joined, is_mark);
    expect(joined == wanted);
  }
}

/// The words, with zero bytes between them: who, when, then the values of keys in turn.
void write_and_read(std::string_view words) {
  constexpr std::array<std::string_view, 6> kKeys = {"name", "ports", "at", "allow", "user", "out"};
  const auto parts = cut(words);
  if (parts.size() < 2) return;
  std::vector<Setting> settings;
  for (size_t i = 2; i < parts.size() && settings.size() < kKeys.size(); ++i) {
    const size_t key = settings.size();
    settings.push_back({std::string(kKeys.at(key)), std::string(parts[i]), key % 2 == 1});
  }
  const policy::Document document{"/run/0007.toml", write_entry("service", settings, parts[0], parts[1]), true, true};
  const auto root = policy::parse_toml(document);
  if (!root) {  // Only for bytes that are no UTF-8.
    expect(std::ranges::any_of(words, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }));
    return;
  }
  expect(root->members.size() == 3 && root->members[0].key == "schema" && root->members[1].key == "added" &&
         root->members[2].key == "service");
  const auto& list = root->members[2].value.items;
  expect(list.size() == 1 && list.front().members.size() == settings.size());
  for (size_t i = 0; i < settings.size(); ++i) {
    expect(list.front().members[i].key == settings[i].key);
    expect_value(list.front().members[i].value, settings[i]);
  }
  const auto entry = read_entry(document);
  expect(entry && entry->number == 7 && entry->kind == "service");
  expect(entry->added_by == parts[0] && entry->added_at == parts[1] && !has_control(entry->text));
}

}  // namespace

/// The first byte: 'w' words follow, else a document behind its name's first line.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] == 'w') {
    write_and_read(text);
    return 0;
  }
  const size_t line = std::min(text.find('\n'), text.size());
  const policy::Document document{std::string(text.substr(0, line)), std::string(text.substr(line)), true, true};
  const auto entry = read_entry(document);
  // What is shown to people stays on its line.
  if (entry) expect(entry->number != 0 && !has_control(entry->kind) && !has_control(entry->text));
  return 0;
}
