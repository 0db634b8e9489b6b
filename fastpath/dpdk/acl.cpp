#include "fastpath/dpdk/acl.h"

#include <rte_acl.h>
#include <rte_byteorder.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <string>
#include <vector>

namespace tails::fastpath::dpdk {
namespace {

/// What rte_acl is asked, in the order and byte order (big endian) of its fields.
struct Key {
  uint8_t zero;  ///< rte_acl wants its first field to be a single byte.
  uint8_t unused[3];
  uint32_t list;
  uint32_t source;
  uint16_t source_port, port;
  uint16_t column, filler;  ///< rte_acl goes on by four bytes: the last two need a field too.
};
static_assert(sizeof(Key) == 20);

constexpr unsigned kFields = 7;
RTE_ACL_RULE_DEF(Rule, kFields);

/// More take rte_acl longer to build than a filter may wait for its rules.
constexpr size_t kMaxRules = 20'000;

rte_acl_field_def field(uint8_t number, uint8_t type, uint8_t size, uint8_t input, size_t offset) {
  return {type, size, number, input, static_cast<uint32_t>(offset)};
}

rte_acl_config layout() {
  rte_acl_config config{};
  config.num_categories = 1;
  config.num_fields = kFields;
  // Fields that share four bytes share an input.
  config.defs[0] = field(0, RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, offsetof(Key, zero));
  config.defs[1] = field(1, RTE_ACL_FIELD_TYPE_MASK, 4, 1, offsetof(Key, list));
  config.defs[2] = field(2, RTE_ACL_FIELD_TYPE_MASK, 4, 2, offsetof(Key, source));
  config.defs[3] = field(3, RTE_ACL_FIELD_TYPE_RANGE, 2, 3, offsetof(Key, source_port));
  config.defs[4] = field(4, RTE_ACL_FIELD_TYPE_RANGE, 2, 3, offsetof(Key, port));
  config.defs[5] = field(5, RTE_ACL_FIELD_TYPE_RANGE, 2, 4, offsetof(Key, column));
  config.defs[6] = field(6, RTE_ACL_FIELD_TYPE_RANGE, 2, 4, offsetof(Key, filler));
  return config;
}

/// Runs of neighbouring columns of a set.
std::vector<std::pair<uint16_t, uint16_t>> runs(const ColumnSet& set, unsigned columns) {
  std::vector<std::pair<uint16_t, uint16_t>> result;
  for (unsigned c = 0; c < columns; ++c) {
    if (!set.contains(c)) continue;
    const auto column = static_cast<uint16_t>(c);
    if (!result.empty() && result.back().second + 1U == c) {
      result.back().second = column;
    } else {
      result.emplace_back(column, column);
    }
  }
  return result;
}

/// The prefixes {address, length} that a range of addresses is made of: rte_acl's own ranges have two bytes.
std::vector<std::pair<uint32_t, uint32_t>> prefixes(uint32_t first, uint32_t last) {
  std::vector<std::pair<uint32_t, uint32_t>> result;
  for (uint64_t next = first; next <= last;) {
    unsigned bits = next == 0 ? 32 : static_cast<unsigned>(std::countr_zero(next));
    while (next + (uint64_t{1} << bits) - 1 > last) --bits;
    result.emplace_back(static_cast<uint32_t>(next), 32 - bits);
    next += uint64_t{1} << bits;
  }
  return result;
}

class Acl final : public Classifier {
 public:
  /// Without a context where there is no line: then nothing matches.
  Acl(Way way, rte_acl_ctx* context) : way_(std::move(way)), context_(context) {}
  Acl(const Acl&) = delete;
  Acl& operator=(const Acl&) = delete;
  ~Acl() override { rte_acl_free(context_); }

  void classify(const Questions& questions, VerdictId* verdicts) const override {
    if (context_ == nullptr) {
      std::fill_n(verdicts, questions.count, VerdictTable::kPlainDrop);
      return;
    }
    Key keys[kBurst];
    const uint8_t* pointers[kBurst];
    uint32_t results[kBurst];
    for (unsigned i = 0; i < questions.count; ++i) {
      keys[i] = {0,
                 {},
                 rte_cpu_to_be_32(way_.list_of[way_.interval(questions.destination[i])]),
                 rte_cpu_to_be_32(questions.source[i]),
                 rte_cpu_to_be_16(questions.source_port[i]),
                 rte_cpu_to_be_16(questions.port[i]),
                 rte_cpu_to_be_16(questions.column[i]),
                 0};
      pointers[i] = reinterpret_cast<const uint8_t*>(&keys[i]);
    }
    rte_acl_classify(context_, pointers, results, questions.count, 1);
    // 0 is "no rule"; lists decide everything, so it cannot be, and if it were it would block.
    for (unsigned i = 0; i < questions.count; ++i) {
      verdicts[i] = results[i] == 0 ? VerdictTable::kPlainDrop : static_cast<VerdictId>(results[i] - 1);
    }
  }
  [[nodiscard]] Structure structure() const override { return Structure::kAcl; }
  [[nodiscard]] size_t bytes() const override { return 0; }

 private:
  Way way_;  // For the intervals.
  rte_acl_ctx* context_;
};

struct FreeContext {
  void operator()(rte_acl_ctx* context) const { rte_acl_free(context); }
};

}  // namespace

std::unique_ptr<Classifier> make_acl(const Way& way) {
  std::vector<Rule> rules;
  for (size_t list = 0; list < way.lists.size(); ++list) {
    int32_t priority = RTE_ACL_MAX_PRIORITY;
    for (const ColumnLine& line : way.lists[list]) {
      const auto columns = runs(way.column_sets[line.columns], way.heads.columns);
      for (const auto& [source, length] : prefixes(line.first_source, line.last_source)) {
        for (const auto& [first, last] : columns) {
          Rule rule{};
          rule.data = {1, priority, line.verdict + 1U};
          rule.field[1].value.u32 = static_cast<uint32_t>(list);
          rule.field[1].mask_range.u32 = 32;
          rule.field[2].value.u32 = source;
          rule.field[2].mask_range.u32 = length;
          rule.field[3].value.u16 = line.first_source_port;
          rule.field[3].mask_range.u16 = line.last_source_port;
          rule.field[4].value.u16 = line.first_port;
          rule.field[4].mask_range.u16 = line.last_port;
          rule.field[5].value.u16 = first;
          rule.field[5].mask_range.u16 = last;
          rule.field[6].mask_range.u16 = 65535;
          rules.push_back(rule);
          if (rules.size() > kMaxRules) return nullptr;
        }
      }
      if (--priority < RTE_ACL_MIN_PRIORITY) return nullptr;
    }
  }
  if (rules.empty()) return std::make_unique<Acl>(way, nullptr);
  static std::atomic<unsigned> number = 0;
  const std::string name = "tails" + std::to_string(number++);
  const rte_acl_param parameters{name.c_str(), -1, RTE_ACL_RULE_SZ(kFields), static_cast<uint32_t>(rules.size())};
  std::unique_ptr<rte_acl_ctx, FreeContext> context(rte_acl_create(&parameters));
  if (!context) return nullptr;
  if (rte_acl_add_rules(context.get(), reinterpret_cast<const rte_acl_rule*>(rules.data()),
                        static_cast<uint32_t>(rules.size())) != 0) {
    return nullptr;
  }
  const rte_acl_config config = layout();
  if (rte_acl_build(context.get(), &config) != 0) return nullptr;
  return std::make_unique<Acl>(way, context.release());
}

}  // namespace tails::fastpath::dpdk
