#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "policy/report.h"
#include "policy/toml.h"

namespace tails::policy {

/// A string of a policy file and where it stands. Views the document's tree.
struct Text {
  std::string_view text;
  Place place;
};

/// Reads one table of a policy key by key. What is wrong (an unknown key, a wrong type, a missing key) is reported,
/// and the caller gets nothing for it.
class TableReader {
 public:
  enum class Need : uint8_t { kOptional, kRequired };

  /// `title` names the table in messages: "[tor]". `keys`: all that it may have; any other is reported.
  /// Empty `keys`: any key. Keeps references to all arguments but `keys`.
  TableReader(const Value& table, const Document& document, std::string title, std::span<const std::string_view> keys,
              Report& report);

  [[nodiscard]] const std::string& title() const { return title_; }
  [[nodiscard]] const Document& document() const { return document_; }
  [[nodiscard]] Report& report() const { return report_; }
  [[nodiscard]] const std::vector<Member>& members() const { return table_.members; }
  /// The table's header, or the whole of an inline table.
  [[nodiscard]] Place place() const { return {&document_, table_.span, false}; }
  [[nodiscard]] Place place(const Value& value) const {
    return {&document_, value.span, value.kind == Value::Kind::kString};
  }

  [[nodiscard]] const Member* find(std::string_view key) const;
  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Not empty.
  [[nodiscard]] std::optional<Text> text(std::string_view key, Need need) const;
  /// `use` is given each string of a list, none of them empty; nothing where the key is absent.
  template <class Use>
  void each_text(std::string_view key, Need need, Use&& use) const {
    const Value* list = get(key, need, Value::Kind::kArray);
    if (list == nullptr) return;
    for (const Value& item : list->items) {
      if (expect_text(key, item)) use(Text{item.text, place(item)});
    }
  }
  [[nodiscard]] bool boolean(std::string_view key, bool fallback) const;
  /// 1 to 65535.
  [[nodiscard]] std::optional<uint16_t> port(std::string_view key) const;
  [[nodiscard]] const Value* table(std::string_view key) const;

  /// Reports and returns false where `value` is of another kind.
  bool expect(const Value& value, Value::Kind kind) const;

 private:
  /// Reports and returns false where it is none, or empty.
  bool expect_text(std::string_view key, const Value& item) const;
  const Value* get(std::string_view key, Need need, Value::Kind kind) const;

  const Value& table_;
  const Document& document_;
  std::string title_;
  Report& report_;
};

/// `did you mean "…"?` where a candidate is near, else `otherwise`.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                         const std::string& otherwise);

}  // namespace tails::policy
