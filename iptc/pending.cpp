#include "iptc/pending.h"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <sstream>

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

std::optional<kernel::RawChain> read_chain(std::istream& words) {
  kernel::RawChain chain;
  std::string policy;
  if (!(words >> chain.name >> policy >> chain.begin >> chain.end >> chain.packets >> chain.octets)) {
    return std::nullopt;
  }
  if (policy == "accept") {
    chain.policy = kernel::Policy::kAccept;
  } else if (policy == "drop") {
    chain.policy = kernel::Policy::kDrop;
  } else if (policy != "-") {
    return std::nullopt;
  }
  return chain;
}

/// What stands behind the word "table".
std::optional<kernel::RawTable> read_table(std::istream& words) {
  kernel::RawTable table;
  unsigned family = 0;
  size_t chains = 0;
  size_t length = 0;
  if (!(words >> family >> table.name >> chains >> length)) return std::nullopt;
  table.family = family == 6 ? Family::kIpv6 : Family::kIpv4;
  for (size_t i = 0; i < chains; ++i) {
    auto chain = read_chain(words);
    if (!chain || chain->begin > chain->end || chain->end > length) return std::nullopt;
    table.chains.push_back(*std::move(chain));
  }
  if (words.get() != '\n') return std::nullopt;
  table.bytes.resize(length);
  if (!words.read(reinterpret_cast<char*>(table.bytes.data()), static_cast<std::streamsize>(length))) {
    return std::nullopt;
  }
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
  std::istringstream words{std::string(rest)};
  std::vector<kernel::RawTable> tables;
  for (std::string word; words >> word;) {
    auto table = word == "table" ? read_table(words) : std::nullopt;
    if (!table) return std::nullopt;
    tables.push_back(*std::move(table));
  }
  return tables;
}

}  // namespace tails::iptc
