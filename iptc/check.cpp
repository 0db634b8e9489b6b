#include "iptc/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>
#include <vector>

#include "iptc/kernel/extensions.h"
#include "iptc/kernel/layout.h"
#include "iptc/kernel/words.h"
#include "iptc/match_codec.h"
#include "iptc/target_codec.h"
#include "iptc/words.h"

namespace tails::iptc {
namespace {

/// Verdicts of libiptc, and targets of the kernel that a chain of that name would hijack.
constexpr std::array<std::string_view, 46> kTargetNames = {
    "ACCEPT",    "AUDIT",   "CHECKSUM", "CLASSIFY", "CLUSTERIP",  "CONNMARK", "CONNSECMARK", "CT",
    "DNAT",      "DNPT",    "DROP",     "DSCP",     "ECN",        "ERROR",    "HL",          "HMARK",
    "IDLETIMER", "LED",     "LOG",      "MARK",     "MASQUERADE", "MIRROR",   "NETMAP",      "NFLOG",
    "NFQUEUE",   "NOTRACK", "QUEUE",    "RATEEST",  "REDIRECT",   "REJECT",   "RETURN",      "SAME",
    "SECMARK",   "SET",     "SNAT",     "SNPT",     "SYNPROXY",   "TARPIT",   "TCPMSS",      "TCPOPTSTRIP",
    "TEE",       "TOS",     "TPROXY",   "TRACE",    "TTL",        "ULOG"};

constexpr uint8_t kWorstLogLevel = 7;
constexpr uint8_t kMaxDscp = 63;
constexpr uint32_t kTcpResetV4 = 7;   // IPT_TCP_RESET
constexpr uint32_t kTcpResetV6 = 6;   // IP6T_TCP_RESET
constexpr uint32_t kEchoReplyV4 = 4;  // IPT_ICMP_ECHOREPLY: never implemented
constexpr uint32_t kEchoReplyV6 = 5;
constexpr uint32_t kLastAnswer = 8;  // IPT_ICMP_ADMIN_PROHIBITED, IP6T_ICMP6_REJECT_ROUTE

std::string hook_names(uint8_t hooks) {
  std::string names;
  for (const std::string_view chain : kernel::kHookNames) {
    if ((hooks & kernel::hook_of(chain)) == 0) continue;
    if (!names.empty()) names += ", ";
    names += chain;
  }
  return names;
}

class Checker {
 public:
  Checker(const ruleset::RuleSet& rules, const ruleset::Table& table)
      : rules_(rules), table_(table), jumps_(table.chains.size()), hooks_(table.chains.size()) {}

  Result<void> run() {
    if (auto names = check_names(); !names) return names;
    if (auto jumps = find_jumps(); !jumps) return jumps;
    if (auto loops = find_hooks(); !loops) return loops;
    for (size_t chain = 0; chain < table_.chains.size(); ++chain) {
      for (const ruleset::Rule& rule : table_.chains[chain].rules) {
        if (auto sound = check_rule(table_.chains[chain], rule, hooks_[chain]); !sound) return sound;
      }
    }
    return {};
  }

 private:
  static tl::unexpected<Error> refuse(std::string message) { return fail(ErrorKind::kRefused, std::move(message)); }

  [[nodiscard]] std::string table_words() const { return kernel::table_words(table_.family, to_string(table_.name)); }

  Result<void> check_names() {
    for (size_t i = 0; i < table_.chains.size(); ++i) {
      const ruleset::Chain& chain = table_.chains[i];
      const std::string& name = chain.name;
      if (name.empty() || name.size() > kernel::kMaxChainName) {
        return refuse(fmt::format("chain name \"{}\" in {} has {} bytes; the kernel holds 1 to {}", name, table_words(),
                                  name.size(), kernel::kMaxChainName));
      }
      const bool is_plain = std::ranges::all_of(name, [](char c) { return c > ' ' && c < 0x7F; });
      if (!is_plain) return refuse(fmt::format("chain name \"{}\" in {} is not printable", name, table_words()));
      const bool is_target = std::ranges::find(kTargetNames, std::string_view(name)) != kTargetNames.end();
      if (is_target) return refuse(fmt::format("chain \"{}\" in {} bears the name of a target", name, table_words()));
      const bool belongs = kernel::hook_of(name) != 0;
      if (belongs != chain.is_builtin()) {
        return refuse(fmt::format("chain \"{}\" in {} {}", name, table_words(),
                                  belongs ? "is built in and needs a policy" : "is not built in and has no policy"));
      }
      if (!by_name_.emplace(name, i).second) {
        return refuse(fmt::format("chain \"{}\" is twice in {}", name, table_words()));
      }
    }
    return {};
  }

  Result<void> find_jumps() {
    for (size_t i = 0; i < table_.chains.size(); ++i) {
      for (const ruleset::Rule& rule : table_.chains[i].rules) {
        const auto* const jump = std::get_if<ruleset::Jump>(&rule.target);
        if (jump == nullptr) continue;
        const auto to = by_name_.find(jump->chain);
        if (to == by_name_.end() || table_.chains[to->second].is_builtin()) {
          return refuse(fmt::format("{} jumps to chain \"{}\", which {}", place(table_.chains[i], rule), jump->chain,
                                    to == by_name_.end() ? "is not there" : "is built in"));
        }
        if (jumps_[i].empty() || jumps_[i].back() != to->second) jumps_[i].push_back(to->second);
      }
    }
    return {};
  }

  /// From which hooks each chain is reached. Depth first without recursion: a tree of chains can be deep.
  Result<void> find_hooks() {
    enum class Mark : uint8_t { kNew, kOpen, kDone };
    for (size_t start = 0; start < table_.chains.size(); ++start) {
      const uint8_t hook = table_.chains[start].is_builtin() ? kernel::hook_of(table_.chains[start].name) : uint8_t{0};
      if (hook == 0) continue;
      std::vector<Mark> marks(table_.chains.size(), Mark::kNew);
      std::vector<std::pair<size_t, size_t>> path = {{start, 0}};  // chain, next jump to follow
      marks[start] = Mark::kOpen;
      while (!path.empty()) {
        auto& [chain, next] = path.back();
        hooks_[chain] |= hook;
        if (next == jumps_[chain].size()) {
          marks[chain] = Mark::kDone;
          path.pop_back();
          continue;
        }
        const size_t to = jumps_[chain][next++];
        if (marks[to] == Mark::kOpen) {
          return refuse(fmt::format("chain \"{}\" in {} leads back to itself", table_.chains[to].name, table_words()));
        }
        if (marks[to] == Mark::kNew) {
          marks[to] = Mark::kOpen;
          path.emplace_back(to, 0);
        }
      }
    }
    return {};
  }

  Result<void> check_rule(const ruleset::Chain& chain, const ruleset::Rule& rule, uint8_t hooks) const {
    const auto complain = [&](std::string_view fact) -> Result<void> {
      return refuse(fmt::format("{}: {}", place(chain, rule), fact));
    };
    for (const ruleset::Match& match : rule.matches) {
      const Forms forms = forms_of(match, table_.family);
      const std::string_view name = extension_name(match, table_.family);
      if (forms.empty()) {
        if (std::holds_alternative<ruleset::OpaqueMatch>(match)) continue;
        return complain(fmt::format("match \"{}\" cannot hold this", name));
      }
      if (auto fits = check_place(chain, rule, kernel::extension(*forms.begin()), hooks); !fits) return fits;
      if (std::holds_alternative<ruleset::MultiportMatch>(match) && !names_ports(rule.header)) {
        return complain("match \"multiport\" needs a protocol that has ports");
      }
      if (const auto* const dscp = std::get_if<ruleset::DscpMatch>(&match); dscp != nullptr && dscp->dscp > kMaxDscp) {
        return complain("a DSCP is at most 63");
      }
      if (const auto* const limit = std::get_if<ruleset::LimitMatch>(&match);
          limit != nullptr && (limit->burst == 0 || uint64_t{limit->average} * limit->burst > UINT32_MAX)) {
        return complain("match \"limit\" overflows: rate too low or burst too high");
      }
    }
    return check_target(chain, rule, hooks);
  }

  Result<void> check_target(const ruleset::Chain& chain, const ruleset::Rule& rule, uint8_t hooks) const {
    const auto complain = [&](std::string_view fact) -> Result<void> {
      return refuse(fmt::format("{}: {}", place(chain, rule), fact));
    };
    if (is_standard(rule.target) || std::holds_alternative<ruleset::OpaqueTarget>(rule.target)) return {};
    const Forms forms = forms_of(rule.target, table_.family);
    if (forms.empty()) return complain(fmt::format("target \"{}\" cannot hold this", target_name(rule.target)));
    if (auto fits = check_place(chain, rule, kernel::extension(*forms.begin()), hooks); !fits) return fits;
    if (const auto* const reject = std::get_if<ruleset::Reject>(&rule.target)) {
      const uint32_t reset = table_.family == Family::kIpv4 ? kTcpResetV4 : kTcpResetV6;
      const bool is_tcp = rule.header.protocol == protocol::kTcp && !rule.header.protocol_inverted;
      if (reject->with == reset && !is_tcp) return complain("a TCP reset answers TCP only");
      const uint32_t echo_reply = table_.family == Family::kIpv4 ? kEchoReplyV4 : kEchoReplyV6;
      if (reject->with > kLastAnswer || reject->with == echo_reply)
        return complain("target \"REJECT\" has no such answer");
    }
    if (const auto* const log = std::get_if<ruleset::Log>(&rule.target);
        log != nullptr && log->level > kWorstLogLevel) {
      return complain("a log level is at most 7");
    }
    if (const auto* const dscp = std::get_if<ruleset::SetDscp>(&rule.target);
        dscp != nullptr && dscp->dscp > kMaxDscp) {
      return complain("a DSCP is at most 63");
    }
    return {};
  }

  Result<void> check_place(const ruleset::Chain& chain, const ruleset::Rule& rule, const kernel::Extension& extension,
                           uint8_t hooks) const {
    const auto complain = [&](std::string_view fact) -> Result<void> {
      const bool is_match = extension.kind == kernel::ExtensionKind::kMatch;
      return refuse(
          fmt::format("{}: {} \"{}\" {}", place(chain, rule), is_match ? "match" : "target", extension.name, fact));
    };
    if (!extension.only_table.empty() && extension.only_table != to_string(table_.name)) {
      return complain(fmt::format("stands in table \"{}\" only", extension.only_table));
    }
    if (const auto wrong = static_cast<uint8_t>(hooks & ~extension.hooks); wrong != 0) {
      return complain(fmt::format("cannot be reached from {}", hook_names(wrong)));
    }
    const bool fits = extension.only_protocol == 0 ||
                      (rule.header.protocol == extension.only_protocol && !rule.header.protocol_inverted);
    return fits ? Result<void>{} : complain("needs its protocol in the same rule");
  }

  [[nodiscard]] std::string place(const ruleset::Chain& chain, const ruleset::Rule& rule) const {
    return rule_words(rules_, table_, chain, rule);
  }

  const ruleset::RuleSet& rules_;
  const ruleset::Table& table_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::vector<std::vector<size_t>> jumps_;
  std::vector<uint8_t> hooks_;
};

}  // namespace

Result<void> check(const ruleset::RuleSet& rules, const ruleset::Table& table) { return Checker(rules, table).run(); }

Result<void> check(const ruleset::RuleSet& rules) {
  for (const ruleset::Table& table : rules.tables) {
    if (auto sound = check(rules, table); !sound) return sound;
  }
  return {};
}

}  // namespace tails::iptc
