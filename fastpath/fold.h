#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "fastpath/condition.h"
#include "fastpath/kinds.h"
#include "fastpath/wire_view.h"
#include "net/result.h"
#include "ruleset/rule_set.h"

/// From chains and jumps to ordered lists: what is left of a filter table when only the wire is looked at.
namespace tails::fastpath {

/// What the rules say of a packet; an index into VerdictTable, under kMaxVerdicts.
using VerdictId = uint16_t;
inline constexpr size_t kMaxVerdicts = 0x8000;

struct WireVerdict {
  Verdict verdict = Verdict::kDrop;  ///< Never kUnknown.
  ruleset::OriginIndex origin = ruleset::kNoOrigin;
  friend auto operator<=>(const WireVerdict&, const WireVerdict&) = default;
};

/// Owner, kind and state together: "who sends what in which state".
struct Who {
  uint64_t owners = 0;
  uint64_t kinds = 0;
  uint8_t states = 0;
  friend auto operator<=>(const Who&, const Who&) = default;
};

/// One line of a list: packets that it matches get its verdict.
struct Line {
  uint32_t who = 0;  ///< Index into Lists::whos.
  VerdictId verdict = 0;
  uint16_t first_port = 0;  ///< Destination ports, both included.
  uint16_t last_port = 65535;
  uint16_t first_source_port = 0;
  uint16_t last_source_port = 65535;
  uint32_t first_source = 0;
  uint32_t last_source = 0xFFFFFFFF;

  [[nodiscard]] bool any_port() const { return first_port == 0 && last_port == 65535; }
  [[nodiscard]] bool any_source() const {
    return first_source_port == 0 && last_source_port == 65535 && first_source == 0 && last_source == 0xFFFFFFFF;
  }
  friend auto operator<=>(const Line&, const Line&) = default;
};

/// The rules for packets of one direction, by destination address: the addresses are cut into intervals, each with a
/// list of lines of which the first that matches decides. Every list decides every packet.
struct Lists {
  std::vector<uint32_t> starts;  ///< First address of each interval, ascending from 0. Neighbours have different lists.
  std::vector<uint32_t> list_of;         ///< By interval: index into `lists`. Same size.
  std::vector<std::vector<Line>> lists;  ///< No two are the same.
  std::vector<Who> whos;
  uint64_t owners = 0;  ///< Bit per tag that packets of this direction may have.

  [[nodiscard]] const std::vector<Line>& at(uint32_t destination) const;
};

/// Verdicts by id, each once. The first three are those without origin.
class VerdictTable {
 public:
  static constexpr VerdictId kPlainDrop = 0;

  VerdictTable();
  /// The id of `verdict`, new when unknown. When all numbers are taken the verdict stays and its origin is lost.
  VerdictId intern(const WireVerdict& verdict);
  [[nodiscard]] const WireVerdict& operator[](VerdictId id) const { return all_[id]; }
  [[nodiscard]] size_t size() const { return all_.size(); }

 private:
  std::vector<WireVerdict> all_;
  std::map<WireVerdict, VerdictId> ids_;
};

/// Folds the IPv4 rules for packets that come from `from`. An absent filter table accepts.
///
/// Only filter decides: a raw, mangle, security or nat rule that could block, or rewrite what a wire sees, is refused,
/// as is a filter rule that tests what a wire cannot tell (marks, groups, rate limits, unknown matches) unless it only
/// counts or logs, or cannot be met by the wire's interfaces. nat rules for 127/8 are no concern of a wire.
/// Fails with kRejected, naming the rule.
Result<Lists> fold(const ruleset::RuleSet& rules, const WireView& view, const Kinds& kinds, Side from,
                   VerdictTable& verdicts);

}  // namespace tails::fastpath
