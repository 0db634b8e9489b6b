#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "cli/html_page.h"

namespace tails::cli::html {
namespace {

using leaktest::Judgement;

struct Cell {
  size_t tried = 0;
  size_t through = 0;  ///< May get there, and did.
  size_t leaks = 0;
  size_t broken = 0;
};

/// By destination and account.
using Cells = std::map<std::pair<std::string, std::string>, Cell>;

Cells cells_of(const leaktest::Matrix& matrix) {
  Cells cells;
  for (const leaktest::Outcome& outcome : matrix.outcomes) {
    Cell& cell = cells[{outcome.attempt.to, outcome.attempt.user}];
    ++cell.tried;
    cell.leaks += outcome.judgement == Judgement::kLeak ? 1 : 0;
    cell.broken += outcome.judgement == Judgement::kBroken ? 1 : 0;
    if (outcome.attempt.may_pass() && outcome.judgement == Judgement::kAsMeant) ++cell.through;
  }
  return cells;
}

std::string tiles(const leaktest::Matrix& matrix) {
  const auto tile = [](const char* ink, const char* key, size_t number, const char* words) {
    return fmt::format("<div class=\"tile {}\"><b data-key=\"{}\">{}</b>{}</div>", ink, key, number, words);
  };
  return "<div class=\"tiles\">" + tile("", "tried", matrix.outcomes.size(), "ways tried") +
         tile(matrix.leaks() > 0 ? "bad" : "good", "leaks", matrix.leaks(), "leaks") +
         tile(matrix.broken() > 0 ? "warn" : "good", "broken", matrix.broken(), "broken") +
         tile("", "packets_on_cables", matrix.packets, "packets on the cables") + "</div>\n";
}

/// "not": nothing gets there and nothing should, so that a narrow screen can leave it out.
std::string cell_text(const std::string& user, const std::string& to, const Cell& cell) {
  struct Sign {
    const char* ink;
    const char* sign;
  };
  const Sign sign = cell.leaks > 0               ? Sign{"bad", "✗"}
                    : cell.broken > 0            ? Sign{"warn", "!"}
                    : cell.through == 0          ? Sign{"faint", "·"}
                    : cell.through == cell.tried ? Sign{"good", "●"}
                                                 : Sign{"good", "◐"};
  const bool is_not = cell.leaks + cell.broken + cell.through == 0;
  const std::string wrong = (cell.leaks > 0 ? fmt::format(", {} leaked", cell.leaks) : "") +
                            (cell.broken > 0 ? fmt::format(", {} broken", cell.broken) : "");
  return fmt::format(
      "<td role=\"cell\" class=\"{}\" data-user=\"{}\" title=\"{}\"><b class=\"{}\" aria-hidden=\"true\">{}</b><span "
      "class=\"said\">{} of {}{}</span></td>",
      is_not ? "not" : "some", escape(user),
      escape(fmt::format("{} to {}: {} tried, {} get there{}", user, to, cell.tried, cell.through, wrong)), sign.ink,
      sign.sign, cell.through, cell.tried, wrong);
}

std::string matrix_table(const leaktest::Matrix& matrix) {
  const std::vector<std::string> users = leak_users(matrix);
  const Cells cells = cells_of(matrix);
  std::string table =
      "<table class=\"matrix\" role=\"table\">\n<thead role=\"rowgroup\"><tr role=\"row\"><th scope=\"col\" "
      "role=\"columnheader\">to</th>";
  for (const std::string& user : users) {
    table += fmt::format("<th scope=\"col\" role=\"columnheader\"><span>{}</span></th>", escape(user));
  }
  table += "</tr></thead>\n<tbody role=\"rowgroup\">\n";
  for (const LeakRow& row : leak_rows(matrix)) {
    table += fmt::format("<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">{}</th>", escape(row.to));
    size_t nots = 0, tried = 0;
    for (const std::string& user : users) {
      const auto found = cells.find({row.to, user});
      if (found == cells.end()) {
        table += "<td role=\"cell\" class=\"untried\"></td>";
        continue;
      }
      const Cell& cell = found->second;
      ++tried;
      nots += cell.leaks + cell.broken + cell.through == 0 ? 1 : 0;
      table += cell_text(user, row.to, cell);
    }
    if (nots > 0) {
      table += fmt::format(
          "<td role=\"cell\" class=\"rest\"><b class=\"faint\" aria-hidden=\"true\">·</b>{}</td>",
          nots == tried ? fmt::format("blocked for all {}", tried) : fmt::format("blocked for the other {}", nots));
    }
    table += "</tr>\n";
  }
  return table + "</tbody></table>\n";
}

/// Accounts that fare alike share an item.
std::string findings_list(const std::vector<LeakFinding>& findings) {
  constexpr size_t kMost = 200;
  std::string list = "<details open><summary>What leaked or is broken</summary>\n<ul class=\"findings\">\n";
  for (size_t i = 0; i < std::min(kMost, findings.size()); ++i) {
    const LeakFinding& finding = findings[i];
    list += fmt::format("<li><b class=\"{}\">{}</b> {} {}</li>\n", finding.kind == Judgement::kLeak ? "bad" : "warn",
                        finding.kind == Judgement::kLeak ? "✗ leak:" : "! broken:", escape(finding.who),
                        escape(finding.what));
  }
  list += "</ul>\n";
  if (findings.size() > kMost) list += fmt::format("<p>And {} more.</p>\n", findings.size() - kMost);
  return list + "</details>\n";
}

}  // namespace

Section leaks(const leaktest::Matrix& matrix) {
  const bool is_tight = matrix.leaks() + matrix.broken() == 0;
  std::string body = tiles(matrix);
  body += is_tight ? "<p class=\"good\">✓ Nothing leaked, and what must work works.</p>\n" : "";
  for (const std::string& notice : matrix.notices) body += fmt::format("<p>{}</p>\n", escape(notice));
  if (!is_tight) body += findings_list(leak_findings(matrix));
  body +=
      "<p>For each account and destination: <b class=\"good\">●</b> all that was tried gets there, <b "
      "class=\"good\">◐</b> some of it does (the rest is blocked, as it should be), <b class=\"faint\">·</b> all of it "
      "is blocked, <b class=\"bad\">✗</b> something leaked, <b class=\"warn\">!</b> something that should work is "
      "broken<span class=\"roomy\">, blank: not tried</span>.</p>\n";
  body += region("Table: leak matrix", matrix_table(matrix));
  return {"leaks", "Leak test", body};
}

}  // namespace tails::cli::html
