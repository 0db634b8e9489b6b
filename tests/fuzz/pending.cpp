// Any text, as the file of a change that waits to be confirmed: read or damaged, never worse. What was read is written
// in a form that reads as the same tables.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "iptc/pending.h"

namespace {

using namespace tails::iptc;  // NOLINT(google-build-using-namespace): the program's own file

void expect(bool holds) {
  if (!holds) std::abort();
}

/// The file's head with the checksum that fits: what breaks the reader lies behind it.
std::string with_head(std::string_view tables) {
  uint64_t sum = 0xcbf29ce484222325U;
  for (const char c : tables) sum = (sum ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string digits;
  for (; sum != 0; sum >>= 4) digits.insert(digits.begin(), kDigits[sum & 0xF]);
  return "tails-iptc confirm 2\n4711 815 123456 restores " + digits + "\n" + std::string(tables);
}

bool same(const kernel::RawTable& a, const kernel::RawTable& b) {
  return a.family == b.family && a.name == b.name && a.bytes == b.bytes &&
         std::ranges::equal(a.chains, b.chains, [](const kernel::RawChain& x, const kernel::RawChain& y) {
           return x.name == y.name && x.policy == y.policy && x.begin == y.begin && x.end == y.end &&
                  x.packets == y.packets && x.octets == y.octets;
         });
}

}  // namespace

/// The first byte: '!' what follows is the whole file; else its tables, behind a head that fits.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string text = data[0] == '!' ? std::string(rest) : with_head(rest);
  const auto pending = parse_pending(text);
  const auto tables = parse_tables_before(text);
  expect(data[0] == '!' || pending);
  if (!tables) return 0;
  for (const kernel::RawTable& table : *tables) {
    expect(table.bytes.size() <= size);
    expect(kernel::same_rules(table, table));  // looks at every entry
  }
  const std::string written = print_pending(pending.value_or(Pending{}), *tables);
  const auto again = parse_tables_before(written);
  expect(again && std::ranges::equal(*again, *tables, same));
  if (!pending) return 0;
  const auto head = parse_pending(written);
  expect(head && head->keeper == pending->keeper && head->started == pending->started &&
         head->deadline == pending->deadline && head->blocks == pending->blocks);
  return 0;
}
