#include "cli/chain_graph.h"

#include <fmt/format.h>

#include "cli/rule_counts.h"
#include "cli/rule_words.h"

namespace tails::cli {
namespace {

using namespace ruleset;  // NOLINT(google-build-using-namespace)

std::string quoted(std::string_view text) {
  std::string escaped = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped + '"';
}

std::string node(const Table& table, std::string_view chain) {
  return quoted(fmt::format("{} {} {}", family_text(table.family), to_string(table.name), chain));
}

std::string chain_label(const Chain& chain) {
  return fmt::format("{}\n{} rule{}{}", chain.name, chain.rules.size(), chain.rules.size() == 1 ? "" : "s",
                     !chain.policy                           ? ""
                     : *chain.policy == ChainPolicy::kAccept ? ", then ACCEPT"
                                                             : ", then DROP");
}

}  // namespace

std::string chain_graph(const RuleSet& rules) {
  std::string text =
      "digraph rules {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n"
      "  edge [fontname=\"sans-serif\", fontsize=10];\n";
  for (const Table& table : rules.tables) {
    text += fmt::format("  subgraph {} {{\n    label={};\n",
                        quoted(fmt::format("cluster {} {}", family_text(table.family), to_string(table.name))),
                        quoted(fmt::format("{} {}", family_text(table.family), to_string(table.name))));
    for (const Chain& chain : table.chains) {
      std::string label = quoted(chain_label(chain));
      for (size_t at = label.find('\n'); at != std::string::npos; at = label.find('\n')) label.replace(at, 1, "\\n");
      text += fmt::format("    {} [label={}{}];\n", node(table, chain.name), label,
                          chain.is_builtin() ? ", style=bold" : "");
    }
    text += "  }\n";
    for (const Chain& chain : table.chains) {
      for (size_t i = 0; i < chain.rules.size(); ++i) {
        const auto* jump = std::get_if<Jump>(&chain.rules[i].target);
        if (jump == nullptr) continue;
        const std::string tests = tests_in_words(chain.rules[i], [](Uid) { return std::nullopt; });
        text += fmt::format("  {} -> {} [label={}];\n", node(table, chain.name), node(table, jump->chain),
                            quoted(fmt::format("{}: {}", i + 1, tests)));
      }
    }
  }
  return text + "}\n";
}

}  // namespace tails::cli
