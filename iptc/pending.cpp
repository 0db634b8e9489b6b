#include "iptc/pending.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <sstream>

#include "iptc/kernel/entry.h"
#include "iptc/scanner.h"

namespace tails::iptc {
namespace {

constexpr int kVersion = 2;

/// FNV-1a: against accidents, not against root, who alone may write the file.
uint64_t checksum(std::string_view text) {
  uint64_t sum = 0xcbf29ce484222325U;
  for (const char c : text) sum = (sum ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return sum;
}

std::string_view policy_word(const std::optional<kernel::Policy>& policy) {
  if (!policy) return "-";
  return *policy == kernel::Policy::kAccept ? "accept" : "drop";
}

kernel::RawChain read_chain(Scanner& scan) {
  kernel::RawChain chain;
  chain.name = scan.until(' ');
  const std::string_view policy = scan.until(' ');
  if (policy == "accept") {
    chain.policy = kernel::Policy::kAccept;
  } else if (policy == "drop") {
    chain.policy = kernel::Policy::kDrop;
  } else if (policy != "-") {
    scan.fail();
  }
  chain.begin = scan.number<size_t>(' ');
  chain.end = scan.number<size_t>(' ');
  chain.packets = scan.number<uint64_t>(' ');
  chain.octets = scan.number<uint64_t>('\n');
  return chain;
}

/// Whether its bytes are entries, one after the other, as who uses a RawTable relies on.
bool is_whole(const kernel::RawTable& table) {
  return std::ranges::all_of(table.chains, [&](const kernel::RawChain& chain) {
    auto rest = table.entries(chain);
    while (!rest.empty()) {
      const auto entry = kernel::view_entry(rest, table.family);
      if (!entry) return false;
      rest = rest.subspan(entry->bytes.size());
    }
    return true;
  });
}

kernel::RawTable read_table(Scanner& scan) {
  kernel::RawTable table;
  scan.expect("table ");
  table.family = scan.number<unsigned>(' ') == 6 ? Family::kIpv6 : Family::kIpv4;
  table.name = scan.until(' ');
  const auto chains = scan.number<size_t>(' ');
  const auto length = scan.number<size_t>('\n');
  for (size_t i = 0; i < chains && scan.is_sound(); ++i) {
    table.chains.push_back(read_chain(scan));
    if (table.chains.back().begin > table.chains.back().end || table.chains.back().end > length) scan.fail();
  }
  const auto bytes = std::as_bytes(std::span(scan.bytes(length)));
  table.bytes.assign(bytes.begin(), bytes.end());
  if (scan.is_sound() && !is_whole(table)) scan.fail();
  return table;
}

}  // namespace

std::string print_pending(const Pending& pending, const std::vector<kernel::RawTable>& before) {
  std::string tables;
  for (const kernel::RawTable& table : before) {
    fmt::format_to(std::back_inserter(tables), "table {} {} {} {}\n", static_cast<unsigned>(table.family), table.name,
                   table.chains.size(), table.bytes.size());
    for (const kernel::RawChain& chain : table.chains) {
      fmt::format_to(std::back_inserter(tables), "{} {} {} {} {} {}\n", chain.name, policy_word(chain.policy),
                     chain.begin, chain.end, chain.packets, chain.octets);
    }
    tables.append(reinterpret_cast<const char*>(table.bytes.data()), table.bytes.size());
  }
  return fmt::format("tails-iptc confirm {}\n{} {} {} {} {:x}\n", kVersion, pending.keeper, pending.started,
                     pending.deadline.count(), pending.blocks ? "blocks" : "restores", checksum(tables)) +
         tables;
}

std::optional<Pending> parse_pending(std::string_view text) {
  // Two short lines; what follows may be megabytes.
  std::istringstream words(std::string(text.substr(0, 200)));
  std::string program, kind, after;
  int version = 0;
  Pending pending;
  std::chrono::milliseconds::rep deadline = 0;
  if (!(words >> program >> kind >> version >> pending.keeper >> pending.started >> deadline >> after) ||
      program != "tails-iptc" || kind != "confirm" || version != kVersion) {
    return std::nullopt;
  }
  pending.deadline = std::chrono::milliseconds(deadline);
  pending.blocks = after != "restores";
  return pending;
}

std::optional<std::vector<kernel::RawTable>> parse_tables_before(std::string_view text) {
  const size_t first_end = text.find('\n');
  const size_t head_end = first_end == std::string_view::npos ? first_end : text.find('\n', first_end + 1);
  if (head_end == std::string_view::npos) return std::nullopt;
  const std::string_view head = text.substr(0, head_end);
  const std::string_view rest = text.substr(head_end + 1);
  if (!head.ends_with(fmt::format(" {:x}", checksum(rest)))) return std::nullopt;
  Scanner scan(rest);
  std::vector<kernel::RawTable> tables;
  while (!scan.at_end()) {
    tables.push_back(read_table(scan));
    if (!scan.is_sound()) return std::nullopt;
  }
  return tables;
}

}  // namespace tails::iptc
