#pragma once

#include <string>
#include <vector>

#include "ruleset/rule_set.h"

namespace tails::ruleset {

/// One line of text_rules.t, for one family.
struct RuleCase {
  enum class Expect { kOk, kFail, kOurs, kTheirs };

  int line = 0;
  Family family = Family::kIpv4;
  TableName table = TableName::kFilter;
  std::string chain;
  std::string input;      ///< What stands behind "-A CHAIN".
  std::string canonical;  ///< The same as it is written.
  Expect expect = Expect::kOk;

  /// "-A CHAIN …", without a newline.
  [[nodiscard]] std::string input_rule() const;
  [[nodiscard]] std::string canonical_rule() const;
  /// "text_rules.t:12 (IPv4)".
  [[nodiscard]] std::string where() const;
  /// A text with nothing but the table and the rule.
  [[nodiscard]] std::string input_text() const;
};

/// All of them; throws where the file is not of its form.
const std::vector<RuleCase>& rule_cases();

}  // namespace tails::ruleset
