#include "tests/ruleset/text_cases.h"

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace tails::ruleset {
namespace {

std::string rule(const std::string& chain, const std::string& options) {
  return "-A " + chain + (options.empty() ? "" : " " + options);
}

RuleCase::Expect to_expectation(const std::string& word, int line) {
  if (word == "OK") return RuleCase::Expect::kOk;
  if (word == "FAIL") return RuleCase::Expect::kFail;
  if (word == "OURS") return RuleCase::Expect::kOurs;
  if (word == "THEIRS") return RuleCase::Expect::kTheirs;
  throw std::runtime_error("text_rules.t:" + std::to_string(line) + ": no expectation");
}

std::vector<RuleCase> read_cases() {
  std::ifstream file(RULE_CASES_FILE);
  if (!file) throw std::runtime_error("cannot read " RULE_CASES_FILE);
  std::vector<RuleCase> cases;
  RuleCase at;
  std::string families;
  for (std::string line; std::getline(file, line);) {
    ++at.line;
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '*') {
      std::string table;
      std::istringstream(line.substr(1)) >> table >> at.chain >> families;
      at.table = parse_table_name(table).value();
      continue;
    }
    const size_t last = line.rfind(';');
    const size_t first = last == std::string::npos || last == 0 ? std::string::npos : line.rfind(';', last - 1);
    if (first == std::string::npos) throw std::runtime_error("text_rules.t:" + std::to_string(at.line) + ": no case");
    at.input = line.substr(0, first);
    at.canonical = line.substr(first + 1, last - first - 1);
    if (at.canonical == "=") at.canonical = at.input;
    at.expect = to_expectation(line.substr(last + 1), at.line);
    for (const char family : families) {
      at.family = family == '4' ? Family::kIpv4 : Family::kIpv6;
      cases.push_back(at);
    }
  }
  return cases;
}

}  // namespace

std::string RuleCase::input_rule() const { return rule(chain, input); }
std::string RuleCase::canonical_rule() const { return rule(chain, canonical); }

std::string RuleCase::input_text() const {
  return "*" + std::string(to_string(table)) + "\n" + input_rule() + "\nCOMMIT\n";
}

std::string RuleCase::where() const {
  return "text_rules.t:" + std::to_string(line) + (family == Family::kIpv4 ? " (IPv4)" : " (IPv6)");
}

const std::vector<RuleCase>& rule_cases() {
  static const std::vector<RuleCase> cases = read_cases();
  return cases;
}

}  // namespace tails::ruleset
