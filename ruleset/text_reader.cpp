#include "ruleset/text_reader.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/diagnostic.h"
#include "net/nearest.h"
#include "ruleset/text_command.h"
#include "ruleset/text_token.h"
#include "ruleset/text_values.h"

namespace tails::ruleset {
namespace {

using text::Command;
using text::fault;
using text::Fault;
using text::problem;
using text::Problem;
using text::quoted;
using text::Read;
using text::Token;

/// What fits into the buffer of iptables-restore; it would take the rest of a longer line for another line.
constexpr size_t kMaxLine = 10'239;
/// Chain names take 29 bytes in the kernel, the last one zero.
constexpr size_t kMaxChainName = 28;
/// A line with two long lists of addresses makes a rule of each pair. All lists together may not make more than these,
/// so that a short text cannot fill the memory.
constexpr size_t kMaxRulesOfLists = 262'144;

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

template <class V>
using ByName = std::unordered_map<std::string, V, StringHash, std::equal_to<>>;

std::optional<ChainPolicy> to_policy(std::string_view word) {
  if (word == "ACCEPT") return ChainPolicy::kAccept;
  if (word == "DROP") return ChainPolicy::kDrop;
  return std::nullopt;
}

/// "[12:3456]".
Read<Counters> read_counters(const Token& at) {
  const std::string_view value = at.value;
  const size_t colon = value.find(':');
  if (value.size() < 2 || value.front() != '[' || value.back() != ']' || colon == std::string_view::npos) {
    return fault(at, quoted(value) + " is not [PACKETS:BYTES]");
  }
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  const auto packets = text::read_number(at, value.substr(1, colon - 1), 0, kMax, "packets");
  if (!packets) return tl::unexpected(packets.error());
  const auto bytes = text::read_number(at, value.substr(colon + 1, value.size() - colon - 2), 0, kMax, "bytes");
  if (!bytes) return tl::unexpected(bytes.error());
  return Counters{*packets, *bytes};
}

/// A table between its first line and COMMIT.
class TableReader {
 public:
  TableReader(Family family, TableName name)
      : table_{family, name, {}}, is_chain_([this](std::string_view chain) { return is_user_chain(chain); }) {}
  TableReader(const TableReader&) = delete;  // `is_chain_` points here.
  TableReader& operator=(const TableReader&) = delete;

  [[nodiscard]] TableName name() const { return table_.name; }

  /// ":CHAIN POLICY [COUNTERS]"; `tokens` without the colon.
  Problem read_chain(const std::vector<Token>& tokens) {
    if (tokens.size() < 2)
      return problem(tokens.front(), "the chain has no policy", "Write \"-\" for a chain of your own.");
    if (tokens.size() > 3) return problem(tokens[3], "nothing can stand behind the counters");
    const Token& name = tokens[0];
    const Token& policy = tokens[1];
    Counters counters;
    if (tokens.size() == 3) {
      const auto read = read_counters(tokens[2]);
      if (!read) return read.error();
      counters = *read;
    }
    if (!is_builtin(name.value)) {
      if (policy.value == "-") return add_chain(name);
      return problem(policy, "only a built-in chain has a policy", "Write \"-\" for a chain of your own.");
    }
    Chain& chain = builtin(name.value);
    if (policy.value == "-") return std::nullopt;
    chain.counters = counters;
    return set_policy(chain, policy);
  }

  Problem read_rule(const std::vector<Token>& tokens, std::optional<Counters> counters, size_t& list_rules) {
    auto command = text::read_command(tokens, table_.family, is_chain_, list_rules + 1);
    if (!command) return std::move(command.error());
    switch (command->kind) {
      case Command::Kind::kOtherFamily: return std::nullopt;
      case Command::Kind::kNewChain: return add_chain(command->chain);
      case Command::Kind::kSetPolicy: {
        if (is_builtin(command->chain.value)) return set_policy(builtin(command->chain.value), command->policy);
        return problem(command->chain, "only a built-in chain has a policy");
      }
      case Command::Kind::kAppend:
      case Command::Kind::kInsert: break;
    }
    if (auto bad = check_jump(*command)) return bad;
    const auto at = find_chain(command->chain);
    if (!at) return at.error();
    list_rules -= command->rules.size() - 1;
    std::vector<Rule>& rules = command->kind == Command::Kind::kAppend ? chains_[*at].rules : inserted_[*at];
    for (Rule& rule : command->rules) {
      if (counters) rule.counters = *counters;
      rule.origin = origin_;
      rules.push_back(std::move(rule));
    }
    return std::nullopt;
  }

  /// The origin of what is read from now on.
  void set_origin(OriginIndex origin) { origin_ = origin; }

  Table finish() {
    add_missing_builtins();
    for (auto& [at, front] : inserted_) {
      // The last one that was inserted stands first.
      std::ranges::reverse(front);
      std::vector<Rule>& rules = chains_[at].rules;
      front.insert(front.end(), std::move_iterator(rules.begin()), std::move_iterator(rules.end()));
      rules = std::move(front);
    }
    const auto& order = builtin_chains(table_.name);
    const auto place = [&](const Chain& chain) {
      return chain.is_builtin() ? std::ranges::find(order, chain.name) - order.begin() : std::ssize(order);
    };
    std::ranges::stable_sort(chains_, [&](const Chain& a, const Chain& b) {
      const auto place_of_a = place(a);
      const auto place_of_b = place(b);
      return place_of_a != place_of_b ? place_of_a < place_of_b : a.name < b.name;
    });
    table_.chains = std::move(chains_);
    return std::move(table_);
  }

 private:
  [[nodiscard]] bool is_builtin(std::string_view name) const {
    const auto& names = builtin_chains(table_.name);
    return std::ranges::find(names, name) != names.end();
  }
  [[nodiscard]] bool is_user_chain(std::string_view name) const { return by_name_.contains(name) && !is_builtin(name); }

  Chain& builtin(std::string_view name) {
    if (const auto at = by_name_.find(name); at != by_name_.end()) return chains_[at->second];
    by_name_.emplace(name, chains_.size());
    return chains_.emplace_back(Chain{std::string(name), ChainPolicy::kAccept, {}, {}, kNoOrigin});
  }

  Problem set_policy(Chain& chain, const Token& word) const {
    const auto policy = to_policy(word.value);
    if (!policy) return problem(word, "policy " + quoted(word.value) + " is neither ACCEPT nor DROP");
    chain.policy = policy;
    chain.origin = origin_;
    return std::nullopt;
  }

  Problem add_chain(const Token& name) {
    if (by_name_.contains(name.value) || is_builtin(name.value)) {
      return problem(name, "chain " + quoted(name.value) + " is there already");
    }
    constexpr std::array<std::string_view, 4> kVerdicts = {"ACCEPT", "DROP", "QUEUE", "RETURN"};
    if (std::ranges::find(kVerdicts, name.value) != kVerdicts.end()) {
      return problem(name, quoted(name.value) + " is a verdict and cannot be a chain");
    }
    if (name.value.size() > kMaxChainName) return problem(name, quoted(name.value) + " is longer than 28 bytes");
    const bool is_odd = name.value.empty() || name.value.front() == '-' || name.value.front() == '!' ||
                        std::ranges::any_of(name.value, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
    if (is_odd) return problem(name, quoted(name.value) + " cannot be the name of a chain");
    // iptables-restore reads line by line, and would have taken the name for a target's.
    if (targets_.contains(name.value)) {
      return problem(name, "chain " + quoted(name.value) + " is made after a rule that jumps to it",
                     "Name the chains before the rules.");
    }
    by_name_.emplace(name.value, chains_.size());
    chains_.push_back(Chain{std::string(name.value), std::nullopt, {}, {}, kNoOrigin});
    return std::nullopt;
  }

  Read<size_t> find_chain(const Token& name) {
    if (const auto at = by_name_.find(name.value); at != by_name_.end()) return at->second;
    if (is_builtin(name.value)) {
      builtin(name.value);
      return chains_.size() - 1;
    }
    std::vector<std::string_view> known(builtin_chains(table_.name));
    for (const Chain& chain : chains_) known.emplace_back(chain.name);
    const auto meant = nearest(name.value, known);
    return fault(name, "there is no chain " + quoted(name.value),
                 meant ? "did you mean " + quoted(*meant) + "?" : "Name the chains before the rules.");
  }

  Problem check_jump(const Command& command) {
    if (!command.jump) return std::nullopt;
    const Token& name = *command.jump;
    if (is_builtin(name.value)) return problem(name, "a rule cannot jump to the built-in chain " + quoted(name.value));
    if (is_user_chain(name.value)) return std::nullopt;
    if (command.is_goto) return problem(name, "there is no chain " + quoted(name.value));
    targets_.try_emplace(std::string(name.value));
    return std::nullopt;
  }

  /// As a fresh network namespace has them. Before Linux 2.6.36 nat had no INPUT, so a table that names its other three
  /// chains is left without it.
  void add_missing_builtins() {
    const auto named = std::ranges::count_if(chains_, &Chain::is_builtin);
    for (const std::string_view name : builtin_chains(table_.name)) {
      if (by_name_.contains(name)) continue;
      if (table_.name == TableName::kNat && name == "INPUT" && named == 3) continue;
      builtin(name);
    }
  }

  Table table_;
  text::IsChain is_chain_;
  std::vector<Chain> chains_;
  ByName<size_t> by_name_;                                  ///< Index into `chains_`.
  std::unordered_map<size_t, std::vector<Rule>> inserted_;  ///< By index: what -I put in, first to last.
  ByName<std::monostate> targets_;                          ///< Names behind -j that were no chain.
  OriginIndex origin_ = kNoOrigin;
};

/// The whole text, line by line.
class TextReader {
 public:
  TextReader(std::string_view text, Family family, std::string_view file_name)
      : rest_(text), family_(family), file_name_(file_name) {}

  Result<RuleSet> read() {
    while (!rest_.empty()) {
      take_line();
      if (line_number_ == 0) return refuse({0, 1, "more lines than can be counted", {}});
      if (const auto bad = read_line()) return refuse(*bad);
    }
    if (table_) {
      return refuse({static_cast<uint32_t>(line_.size()),
                     1,
                     "the text ends before COMMIT of table " + quoted(to_string(table_->name())),
                     {}});
    }
    return std::move(rules_);
  }

 private:
  void take_line() {
    const size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    if (line_.ends_with('\r')) line_.remove_suffix(1);
    ++line_number_;
  }

  Problem read_line() {
    if (line_.size() > kMaxLine) return Fault{0, 1, "this line is longer than 10239 bytes", {}};
    if (const size_t zero = line_.find('\0'); zero != std::string_view::npos) {
      return Fault{static_cast<uint32_t>(zero), 1, "a zero byte: this is no text", {}};
    }
    if (line_.starts_with('#') || line_.find_first_not_of(" \t") == std::string_view::npos) return std::nullopt;
    const bool has_mark = line_.starts_with('*') || line_.starts_with(':');
    const auto split = tokenizer_.split(line_, has_mark ? 1 : 0);
    if (!split) return split.error();
    const std::vector<Token>& tokens = **split;
    if (tokens.empty() && !has_mark) return std::nullopt;  // blanks besides spaces and tabs

    if (line_.starts_with('*')) return start_table(tokens);
    if (!table_) return Fault{0, 1, "a table must be named first", "Write a line like \"*filter\" before it."};
    if (rules_.origins.empty() || rules_.origins.back().line != line_number_) {
      rules_.origins.push_back({std::string(file_name_), line_number_, {}});
    }
    table_->set_origin(static_cast<OriginIndex>(rules_.origins.size() - 1));
    if (line_.starts_with(':')) {
      if (tokens.empty()) return Fault{0, 1, "the name of the chain is missing", {}};
      return table_->read_chain(tokens);
    }
    if (tokens.size() == 1 && tokens[0].value == "COMMIT") {
      rules_.origins.pop_back();
      rules_.tables.push_back(table_->finish());
      table_.reset();
      return std::nullopt;
    }
    if (!tokens[0].value.starts_with('[')) return table_->read_rule(tokens, std::nullopt, list_rules_);
    return read_counted_rule(tokens);
  }

  /// "[12:3456] -A …", also without the blank between.
  Problem read_counted_rule(const std::vector<Token>& tokens) {
    Token counters = tokens[0];
    const size_t end = line_.find(']', counters.offset);
    if (end == std::string_view::npos) return problem(counters, quoted(counters.value) + " is not [PACKETS:BYTES]");
    counters.value = counters.raw = line_.substr(counters.offset, end + 1 - counters.offset);
    const auto read = read_counters(counters);
    if (!read) return read.error();
    const Counters values = *read;
    const auto split = tokenizer_.split(line_, static_cast<uint32_t>(end + 1));
    if (!split) return split.error();
    return table_->read_rule(**split, values, list_rules_);
  }

  Problem start_table(const std::vector<Token>& tokens) {
    if (table_) {
      return Fault{0, 1, "table " + quoted(to_string(table_->name())) + " has no COMMIT before this one", {}};
    }
    if (tokens.empty()) return Fault{0, 1, "the name of the table is missing", {}};
    if (tokens.size() > 1) return problem(tokens[1], "nothing can stand behind the name of the table");
    const auto name = parse_table_name(tokens[0].value);
    if (!name) {
      constexpr std::array<std::string_view, 5> kNames = {"filter", "nat", "mangle", "raw", "security"};
      const auto meant = nearest(tokens[0].value, kNames);
      return problem(tokens[0], "table " + quoted(tokens[0].value) + " is not known",
                     meant ? "did you mean " + quoted(*meant) + "?" : "");
    }
    if (rules_.find(family_, *name) != nullptr) {
      return problem(tokens[0], "table " + quoted(tokens[0].value) + " stands here a second time");
    }
    table_.emplace(family_, *name);
    return std::nullopt;
  }

  [[nodiscard]] tl::unexpected<Error> refuse(const Fault& bad) const {
    const auto characters = [](std::string_view bytes) {
      return static_cast<uint32_t>(
          std::ranges::count_if(bytes, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
    };
    Diagnostic diagnostic;
    diagnostic.file = file_name_;
    diagnostic.line = line_number_;
    diagnostic.column = diagnostic.underline_column = 1 + characters(line_.substr(0, bad.offset));
    diagnostic.length = characters(line_.substr(std::min<size_t>(bad.offset, line_.size()), bad.length));
    diagnostic.message = bad.fact;
    diagnostic.remedy = bad.remedy;
    diagnostic.source = line_;
    return fail(ErrorKind::kRejected, render(diagnostic));
  }

  std::string_view rest_;
  Family family_;
  std::string_view file_name_;
  std::string_view line_;
  uint32_t line_number_ = 0;
  text::Tokenizer tokenizer_;
  std::optional<TableReader> table_;
  size_t list_rules_ = kMaxRulesOfLists;
  RuleSet rules_;
};

}  // namespace

Result<RuleSet> read_save(std::string_view text, Family family, std::string_view file_name) {
  return TextReader(text, family, file_name).read();
}

}  // namespace tails::ruleset
