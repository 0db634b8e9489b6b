// Any text, as the record of the tables that are ours: read or damaged, never worse. What was read is written in a form
// that reads as the same record.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "iptc/record.h"

namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

/// The first byte: 'b' a table's body follows, else the whole file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tails;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto check_body = [](std::string_view body) {
    const auto read = iptc::parse_body(body);
    if (!read) return;
    for (const iptc::RecordedOrigins::Chain& chain : read->chains) {
      expect(chain.rules.size() == chain.origins.size());
      for (const ruleset::OriginIndex index : chain.origins) {
        expect(index == ruleset::kNoOrigin || index < read->origins.size());
      }
    }
  };
  if (data[0] == 'b') {
    check_body(text);
    return 0;
  }
  const iptc::Record record = iptc::Record::parse(text);
  expect(iptc::Record::parse(record.print()) == record);
  for (const iptc::RecordedTable& table : record.tables()) {
    check_body(*table.body);
    expect(record.find(table.network_namespace, table.family, table.table, table.whole) != nullptr);
  }
  iptc::Record pruned = record;
  pruned.prune(0, [](const iptc::RecordedTable& table) { return table.kind == iptc::RecordedTable::Kind::kGuard; });
  expect(pruned.tables().size() <= record.tables().size());
  return 0;
}
