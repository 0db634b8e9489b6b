#include "iptc/decode.h"

#include <fmt/format.h>

#include "iptc/kernel/words.h"
#include "iptc/rule_codec.h"

namespace tails::iptc {

Result<ruleset::Table> decode(const kernel::RawTable& raw, kernel::Abi abi) {
  const auto name = ruleset::parse_table_name(raw.name);
  if (!name) return fail(ErrorKind::kRefused, fmt::format("table \"{}\" is not one that this program knows", raw.name));
  ruleset::Table table{raw.family, *name, {}};
  table.chains.reserve(raw.chains.size());
  for (const kernel::RawChain& raw_chain : raw.chains) {
    ruleset::Chain chain;
    chain.name = raw_chain.name;
    if (raw_chain.policy) {
      const bool accepts = *raw_chain.policy == kernel::Policy::kAccept;
      chain.policy = accepts ? ruleset::ChainPolicy::kAccept : ruleset::ChainPolicy::kDrop;
      chain.counters = {raw_chain.packets, raw_chain.octets};
    }
    for (auto rest = raw.entries(raw_chain); !rest.empty();) {
      const auto entry = kernel::view_entry(rest, raw.family, abi);
      if (!entry) {
        return fail(ErrorKind::kRefused, fmt::format("{} has an entry that does not end where it says, in chain {}",
                                                     kernel::table_words(raw.family, raw.name), chain.name));
      }
      chain.rules.push_back(read_rule(*entry, raw.family, abi).rule);
      rest = rest.subspan(entry->bytes.size());
    }
    table.chains.push_back(std::move(chain));
  }
  return table;
}

}  // namespace tails::iptc
